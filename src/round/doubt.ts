// What the next start may not believe (H18): an fdatasync of the local disk failed, or the intent
// map is not what it should be. Guests go on (W4), so the file system of the state may be the one
// that fails: the doubt is written down at once, again with every checkpoint until it stands, and
// no clean mark is made beside it. Nothing here throws.
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { ResourceFile } from '../tracking/resource-file.js';

/** Why a doubt is raised, for the operator. */
export const syncFailed = (why: string): string => `an fdatasync of the local disk failed: ${why}`;

export class Doubt {
  readonly #file: ResourceFile;
  readonly #log: Log;
  #why: string | null = null;
  #written = false;

  constructor(file: ResourceFile, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  /** The first reason that was given; null: there is no doubt. */
  get why(): string | null {
    return this.#why;
  }

  /** `why`: for the operator. */
  async raise(why: string): Promise<void> {
    if (this.#why === null) this.#log.error('the next start compares everything', { why });
    this.#why ??= why;
    await this.write();
  }

  /** Tries again where it could not be written down. */
  async write(): Promise<void> {
    const doubt = this.#why;
    if (doubt === null || this.#written) return;
    try {
      await this.#file.update((state) => ({ ...state, doubt }));
      this.#written = true;
    } catch (error) {
      this.#log.error('a doubt could not be written down', { doubt, why: describeError(error) });
    }
  }
}
