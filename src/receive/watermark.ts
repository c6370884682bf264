// Who waits for how much of a round to be durable: resolves as the watermark grows, rejects when
// the round ends (Target.staged). At most a handful wait; the session bounds its questions.
import { type Deferred, deferred } from '../base/sync.js';

export class Watermark {
  #waiting: { readonly atLeast: number; readonly done: Deferred<number> }[] = [];

  /** Resolves with the watermark once it is at least `atLeast` frames. */
  wait(atLeast: number): Promise<number> {
    const done = deferred<number>();
    this.#waiting.push({ atLeast, done });
    return done.promise;
  }

  /** Frames 0..frames-1 are durable. */
  durable(frames: number): void {
    const ready = this.#waiting.filter((wait) => wait.atLeast <= frames);
    this.#waiting = this.#waiting.filter((wait) => wait.atLeast > frames);
    for (const { done } of ready) done.resolve(frames);
  }

  /** It will not grow any more. */
  failed(error: unknown): void {
    for (const { done } of this.#waiting.splice(0)) {
      done.promise.catch(() => undefined);
      done.reject(error);
    }
  }
}
