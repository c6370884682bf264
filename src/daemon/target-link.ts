// The primary's connection to one target: dials, greets, settles who descends from whom, keeps the
// session, and dials again with back-off when it is lost. One session at a time.
import type { Clock } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import { type DialSecurity, dialPeer } from '../net/connect.js';
import { greet } from '../peer/greet.js';
import type { PeerFacts } from '../peer/messages.js';
import { type Contact, contact } from '../round/contact.js';
import type { RoundParts } from '../round/parts.js';
import { remoteTarget } from '../target/remote.js';
import { type Target, TargetError } from '../target/target.js';

const BACK_OFF_MS_MIN = 1000;
const BACK_OFF_MS_MAX = 60_000;

export interface LinkOptions {
  readonly target: string;
  readonly remote: string | null;
  readonly source: string | null;
  readonly timeoutMs: number;
  readonly security: DialSecurity;
}

export interface LinkParts {
  readonly round: RoundParts;
  /** What this node says of itself at contact. */
  readonly facts: () => PeerFacts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A session that may carry data. */
export interface Linked {
  readonly target: Target;
  /** What the first contact found; the driver sets it to 'ready' after a fill. */
  contact: Contact;
}

export class TargetLink {
  readonly #options: LinkOptions;
  readonly #parts: LinkParts;
  readonly #stop = new AbortController();
  #linked: Linked | null = null;
  #connecting: Promise<Linked> | null = null;
  #error: { readonly atMs: number; readonly error: unknown } | null = null;
  #wake = new AbortController();

  constructor(options: LinkOptions, parts: LinkParts) {
    this.#options = options;
    this.#parts = parts;
  }

  get up(): boolean {
    return this.#linked !== null;
  }

  /** The target says that its disk is suspect. */
  get suspect(): boolean {
    return this.#linked?.target.state.suspect ?? false;
  }

  /** Why the last attempt failed; null once connected. */
  get error(): { readonly atMs: number; readonly error: unknown } | null {
    return this.#error;
  }

  get diverged(): boolean {
    return codeOf(this.#error?.error) === 'TARGET_DIVERGED';
  }

  /** The session, dialled now if there is none. Rejects with why not. */
  get(): Promise<Linked> {
    if (this.#linked !== null) return Promise.resolve(this.#linked);
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = null;
    });
    return this.#connecting;
  }

  /** Keeps the link up until `close`; for a target with an address. */
  async keepUp(): Promise<void> {
    const { clock, random } = this.#parts;
    let backOffMs = BACK_OFF_MS_MIN;
    while (!this.#stop.signal.aborted) {
      const linked = await this.get().catch(() => null);
      if (linked !== null) {
        backOffMs = BACK_OFF_MS_MIN;
        await this.#down();
      }
      const jitter = 0.5 + random.below(1000) / 1000;
      await clock.sleep(backOffMs * jitter, this.#stop.signal);
      backOffMs = Math.min(BACK_OFF_MS_MAX, backOffMs * 2);
    }
  }

  /** Ends the session: the next contact asks the target anew where it stands. No failure. */
  async renew(): Promise<void> {
    const linked = this.#linked;
    this.#linked = null;
    this.#wake.abort();
    await linked?.target.close();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake.abort();
    await this.#connecting?.catch(() => undefined);
    await this.#linked?.target.close();
    this.#linked = null;
  }

  /** Resolves when the present session has ended. */
  async #down(): Promise<void> {
    const { clock } = this.#parts;
    while (this.#linked !== null && !this.#stop.signal.aborted) {
      await clock.sleep(BACK_OFF_MS_MAX, this.#wake.signal);
      this.#wake = this.#wake.signal.aborted ? new AbortController() : this.#wake;
    }
  }

  async #connect(): Promise<Linked> {
    const { target, remote } = this.#options;
    try {
      if (remote === null) {
        const text = 'it has no address ("remote none")';
        throw new TargetError({ code: 'TARGET_LOST', target, text });
      }
      const linked = await this.#dial(remote);
      this.#linked = linked;
      this.#error = null;
      this.#parts.log.info('connected to the target', { remote, contact: linked.contact });
      return linked;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  async #dial(remote: string): Promise<Linked> {
    const { source, timeoutMs, security, target } = this.#options;
    const { clock, random, round, facts } = this.#parts;
    const { signal } = this.#stop;
    const stream = await dialPeer({ remote, source, timeoutMs, security }, { clock, signal });
    const session = await greet(stream, facts(), { clock, random });
    const remoteEnd = remoteTarget(session, target);
    void session.closed.then((reason) => this.#lost(remoteEnd, reason));
    try {
      return { target: remoteEnd, contact: await contact(round, remoteEnd) };
    } catch (error) {
      await remoteEnd.close();
      throw error;
    }
  }

  #lost(target: Target, reason: unknown): void {
    if (this.#linked?.target !== target) return;
    this.#linked = null;
    this.#wake.abort();
    if (!this.#stop.signal.aborted) this.#note(reason);
  }

  /** A failure is logged when it is news, and kept for status. */
  #note(error: unknown): void {
    const before = codeOf(this.#error?.error);
    this.#error = { atMs: this.#parts.clock.wallMs(), error };
    if (codeOf(error) === before) return;
    this.#parts.log.warn('no link to the target', {
      code: codeOf(error),
      why: describeError(error),
    });
  }
}
