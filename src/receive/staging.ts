// What is staged at a replica: the round under way, or parked until its sender comes back (D3), and
// the files of rounds that ended without a commit, whose chunks a later round may take over (H31).
import type { Files } from '../base/files.js';
import type { Begin } from '../target/target.js';
import { HeldStages } from './held-stages.js';
import type { Incoming } from './incoming.js';
import { stageName } from './stage.js';

export class Staging {
  readonly #files: Files;
  readonly #directory: string;
  #incoming: Incoming | null = null;
  #held: HeldStages | null = null;

  constructor(files: Files, directory: string) {
    this.#files = files;
    this.#directory = directory;
  }

  get incoming(): Incoming | null {
    return this.#incoming;
  }

  /** A round has begun; the one before has ended. */
  begun(incoming: Incoming): void {
    this.#incoming = incoming;
  }

  /** A staged file of this round stands, though the round is not under way. */
  has(round: Uint8Array): Promise<boolean> {
    return this.#files.exists(`${this.#directory}/${stageName(round)}`);
  }

  /** What is staged of ended rounds that began where `begin`, the round under way, does. */
  async held(begin: Begin): Promise<HeldStages | null> {
    const { resource, from, sizeBytes, round } = begin;
    if (from === null) return null;
    const facts = { resource, from, sizeBytes };
    this.#held ??= await HeldStages.open(this.#files, this.#directory, facts, stageName(round));
    return this.#held;
  }

  /** Removes everything that is staged but the round under way. */
  async dropHeld(): Promise<void> {
    await this.#held?.drop();
    this.#held = null;
    const except = this.#incoming === null ? '' : stageName(this.#incoming.begin.round);
    for (const name of await this.#files.list(this.#directory)) {
      if (!name.startsWith('stage-') || name === except) continue;
      await this.#files.remove(`${this.#directory}/${name}`);
    }
  }

  /** Ends the round under way; what is staged of it can be taken over. */
  async end(error: unknown): Promise<void> {
    const incoming = this.#incoming;
    this.#incoming = null;
    await incoming?.setAside(error);
    // Looked through anew: it has become one of them.
    await this.#held?.close();
    this.#held = null;
  }

  /** The round under way is committed: what was staged before it began at another point. */
  async committed(): Promise<void> {
    this.#incoming = null;
    await this.dropHeld();
  }
}
