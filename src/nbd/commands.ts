// The requests without payload: FLUSH, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS. Guarantees: each is
// answered once, and only when the disk says so; FUA is the command and then a flush (W3); a failed
// BLOCK_STATUS says nothing of any context. Offsets and lengths are bytes.
import { isPromise } from '../base/sync.js';
import type { StatusRun } from '../disk/disk.js';
import { kept, type OpenRequest, type Operations } from './operations.js';
import { COMMAND, COMMAND_FLAG, NBD_ERROR } from './protocol.js';
import type { Request } from './requests.js';

/** Runs of one context in one reply; the client asks on from where they end. A run of holes and
 * data is two system calls, so this also bounds how long the thread is held. */
export const STATUS_RUNS_MAX = 512;

const NAMES: Readonly<Record<number, string>> = {
  [COMMAND.FLUSH]: 'flush',
  [COMMAND.TRIM]: 'trim',
  [COMMAND.WRITE_ZEROES]: 'zero',
};

export class Commands {
  readonly #operations: Operations;

  constructor(operations: Operations) {
    this.#operations = operations;
  }

  begin(request: Request): void {
    if (request.type === COMMAND.CACHE) this.#cache(request);
    else if (request.type === COMMAND.BLOCK_STATUS) this.#status(request);
    else this.#later(request);
  }

  #later(request: Request): void {
    const { counters, replies } = this.#operations.parts;
    const { type } = request;
    const open = kept(request);
    const settle = (result: 'done' | 'slow'): void => {
      if (type === COMMAND.FLUSH) counters.flushes += 1;
      else if (result === 'done') counters.deletes += 1;
      replies.plain(open, result === 'slow' ? NBD_ERROR.ENOTSUP : NBD_ERROR.NONE);
    };
    const fail = (error: unknown): void => {
      if (type === COMMAND.FLUSH) counters.flushErrors += 1;
      else counters.deleteErrors += 1;
      this.#operations.refuse(NAMES[type] ?? 'command', open, error);
    };
    this.#operations.track(this.#run(request), 0, settle, fail);
  }

  async #run({ type, offset, length, flags, fua }: Request): Promise<'done' | 'slow'> {
    const { disk } = this.#operations.parts;
    if (type === COMMAND.FLUSH) {
      await disk.flush();
      return 'done';
    }
    if (type === COMMAND.TRIM) await disk.trim(offset, length);
    else {
      const mayPunch = (flags & COMMAND_FLAG.NO_HOLE) === 0;
      const fast = (flags & COMMAND_FLAG.FAST_ZERO) !== 0;
      if ((await disk.zero(offset, length, mayPunch, fast)) === 'slow') return 'slow';
    }
    if (fua) await disk.flush();
    return 'done';
  }

  /** Advice: the reply does not wait for the medium (CACHE: "MAY send a reply prior"). */
  #cache(request: Request): void {
    const { disk, replies } = this.#operations.parts;
    try {
      disk.prefetch(request.offset, request.length);
      replies.plain(request, NBD_ERROR.NONE);
    } catch (error) {
      this.#operations.refuse('cache', kept(request), error);
    }
  }

  /** All contexts are asked before the first is answered. */
  #status(request: Request): void {
    const { disk, agreement } = this.#operations.parts;
    const { offset, length, flags } = request;
    const runsMax = (flags & COMMAND_FLAG.REQ_ONE) !== 0 ? 1 : STATUS_RUNS_MAX;
    try {
      const sooner = agreement.contexts.map(({ name }) =>
        disk.status(name, offset, length, runsMax),
      );
      if (!sooner.some(isPromise)) {
        this.#answerStatus(request, sooner as (readonly StatusRun[])[]);
        return;
      }
      const open = kept(request);
      this.#operations.track(
        Promise.all(sooner),
        0,
        (all) => this.#answerStatus(open, all),
        (error) => this.#operations.refuse('status', open, error),
      );
    } catch (error) {
      this.#operations.refuse('status', kept(request), error);
    }
  }

  /** `all`: runs of each context. */
  #answerStatus(request: Request | OpenRequest, all: readonly (readonly StatusRun[])[]): void {
    const { replies, agreement } = this.#operations.parts;
    for (const [index, { id }] of agreement.contexts.entries()) {
      replies.statusChunk(request, id, all[index] ?? [], index === all.length - 1);
    }
  }
}
