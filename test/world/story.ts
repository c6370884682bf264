// The story of a world: which step it is at, where it stops, and which operations fail. A step is
// one operation that changes something or makes it durable; steps are counted from 0.
import { assert } from '../../src/base/assert.js';
import { FilesError } from '../../src/base/files.js';

/** Thrown by calls that cannot wait, in a world that has stopped. Nothing should catch it. */
export class WorldStopped extends Error {
  override readonly name = 'WorldStopped';
}

/** Operations that can be made to fail; 'read' and 'write' are also readNow, writeNow. */
export type Operation =
  | ('open' | 'create' | 'read' | 'write' | 'sync' | 'truncate' | 'reserve')
  | ('rename' | 'remove' | 'list' | 'makeDirectory' | 'syncDirectory');

interface Failure {
  readonly operation: Operation;
  /** Where; default: anywhere. */
  readonly path?: string;
  /** ... or anywhere below. */
  readonly within?: string;
  readonly errno: string;
  left: number;
}

export class Story {
  /** Settles when the world stops. */
  readonly stopped: Promise<void>;
  /** Told of each step that happens, when it begins. */
  onStep: ((step: number, what: string) => void) | null = null;
  /** True: it does not crash now, but at a later step. */
  spares: (() => boolean) | null = null;
  #turn: () => Promise<void>;
  #steps = 0;
  #crashStep = Number.POSITIVE_INFINITY;
  #stoppedAt: string | null = null;
  readonly #onStop: (() => void)[] = [];
  readonly #failures: Failure[] = [];

  /** `turn` is how long an asynchronous operation takes. */
  constructor(turn: () => Promise<void> = () => Promise.resolve()) {
    this.#turn = turn;
    this.stopped = new Promise((resolve) => this.#onStop.push(resolve));
  }

  /** From now on an asynchronous operation takes as long as `turn`. */
  takes(turn: () => Promise<void>): void {
    this.#turn = turn;
  }

  /** Steps that have begun; a clean run's count is the number of crash points. */
  get steps(): number {
    return this.#steps;
  }

  /** The operation at which the world stopped, for messages; null while it runs. */
  get stoppedAt(): string | null {
    return this.#stoppedAt;
  }

  /** Lets the first `step` steps (counted from the beginning) happen and stops at the next one. */
  crashAt(step: number): void {
    assert(step >= this.#steps, 'the crash lies ahead');
    this.#crashStep = step;
  }

  /** Stops now. */
  stop(reason = 'stop'): void {
    if (this.#stoppedAt !== null) return;
    this.#stoppedAt = reason;
    for (const tell of this.#onStop.splice(0)) tell();
  }

  /** `tell` is called in the moment of the stop, or now if that is past. */
  onStop(tell: () => void): void {
    if (this.#stoppedAt === null) this.#onStop.push(tell);
    else tell();
  }

  /** The next `times` operations of that kind (on `path`, where given) fail and do nothing. */
  failNext(what: { operation: Operation; path?: string }, errno: string, times = 1): void {
    this.#failures.push({ ...what, errno, left: times });
  }

  /** As failNext, for whatever lies at or below `within`. */
  failSoon(what: { operation: Operation; within: string }, errno: string, times = 1): void {
    this.#failures.push({ ...what, errno, left: times });
  }

  /** What was to fail does not any more. */
  mend(): void {
    this.#failures.length = 0;
  }

  /** Does `work` one turn later; a stopped world never answers. */
  async soon<T>(work: () => T): Promise<T> {
    await this.#turn();
    try {
      return work();
    } catch (error) {
      if (error instanceof WorldStopped) return new Promise(() => {});
      throw error;
    }
  }

  /** Throws WorldStopped in a stopped world. */
  alive(what: string): void {
    if (this.#stoppedAt !== null) throw new WorldStopped(what);
  }

  /** Throws WorldStopped, or the failure asked for. A 'step' is counted and may be the crash. */
  enter(operation: Operation, path: string, kind: 'look' | 'step', note = ''): void {
    if (kind === 'step' && this.#steps >= this.#crashStep && this.spares?.() !== true) {
      this.stop(`step ${this.#steps}: ${operation} ${path}${note}`);
    }
    this.alive(`${operation} ${path}${note}`);
    if (kind === 'step') {
      this.onStep?.(this.#steps, `${operation} ${path}${note}`);
      this.#steps += 1;
    }
    const index = this.#failures.findIndex(
      (one) =>
        one.operation === operation &&
        (one.path === undefined || one.path === path) &&
        (one.within === undefined || path.startsWith(one.within)),
    );
    const found = this.#failures[index];
    if (!found) return;
    found.left -= 1;
    if (found.left === 0) this.#failures.splice(index, 1);
    throw failed(operation, path, found.errno);
  }
}

export const failed = (operation: string, path: string, errno: string) =>
  new FilesError({ code: 'FILE_FAILED', operation, path, errno });
