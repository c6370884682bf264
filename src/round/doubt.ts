// What the next start may not believe (H18): an fdatasync of the local disk failed, or the intent
// map is not what it should be. Guests go on (W4), so the file system of the state may be the one
// that fails: the doubt is written down at once, until it stands with everything else that is
// published of the resource and every few seconds, and no clean mark is made beside it. A crash
// between the failure and that moment finds nothing of it: W1 needs one of two writes to succeed.
// Nothing here throws.
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { ResourceFile } from '../tracking/resource-file.js';

/** Why a doubt is raised, for the operator. */
export const syncFailed = (why: string): string => `an fdatasync of the local disk failed: ${why}`;

export class Doubt {
  readonly #file: ResourceFile;
  readonly #log: Log;
  #why: string | null = null;

  constructor(file: ResourceFile, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  /** The first reason that was given; null: there is no doubt. */
  get why(): string | null {
    return this.#why;
  }

  /** There is one, and a crash would not know of it. */
  get owed(): boolean {
    return this.#why !== null && this.#file.state.doubt === null;
  }

  /** `why`: for the operator. */
  async raise(why: string): Promise<void> {
    if (this.#why !== null) return this.write();
    this.#log.error('the next start compares everything', { why });
    this.#why = why;
    await this.#orSay(() => this.#file.owe((state) => ({ ...state, doubt: why })));
  }

  /** Tries again where it could not be written down. */
  async write(): Promise<void> {
    await this.#orSay(() => this.#file.pay());
  }

  async #orSay(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const why = describeError(error);
      this.#log.error('a doubt could not be written down', { doubt: this.#why, why });
    }
  }
}
