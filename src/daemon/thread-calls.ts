// Calls between threads of the daemon: a method by name with arguments that can be cloned, an
// answer or a typed error back. Both ends may call. A fault keeps its code, facts and sentence.
import type { MessagePort, Worker } from 'node:worker_threads';
import { assert } from '../base/assert.js';
import { codeOf, describeError, type Fault, HastError } from '../base/errors.js';
import { type Deferred, deferred } from '../base/sync.js';

// biome would read these as unsafe; the method table of each side is typed by its interface.
type Method = (...args: never[]) => Promise<unknown>;
/** Methods one side offers. */
export type Methods<T> = { readonly [K in keyof T]: Method };

type Call = { readonly call: number; readonly method: string; readonly args: readonly unknown[] };
type Answer = { readonly answer: number; readonly value: unknown };
type Failure = { readonly failure: number; readonly fault: Fault; readonly text: string };
type Envelope = Call | Answer | Failure;

/** An error of another thread: the same fault, the same sentence. */
export class ThreadError extends HastError {
  readonly fault: Fault;
  constructor(fault: Fault, text: string) {
    super(text);
    this.name = 'ThreadError';
    this.fault = fault;
  }
}

export interface Peer<Theirs extends Methods<Theirs>> {
  call<K extends keyof Theirs & string>(
    method: K,
    ...args: Parameters<Theirs[K]>
  ): ReturnType<Theirs[K]>;
}

/** Connects a port: serves `mine`, and calls the other side's methods. `onBug` is told of
 * assertions and the like, after the caller has been answered. */
export function connectThreads<Mine extends Methods<Mine>, Theirs extends Methods<Theirs>>(
  port: MessagePort | Worker,
  mine: Mine,
  onBug: (error: unknown) => void,
): Peer<Theirs> {
  const waiting = new Map<number, Deferred<unknown>>();
  let next = 0;
  const serve = async ({ call, method, args }: Call): Promise<void> => {
    const run = (mine as Record<string, Method>)[method];
    try {
      assert(run !== undefined, `the other thread has a method ${method}`);
      const value = await run(...(args as never[]));
      port.postMessage({ answer: call, value } satisfies Answer);
    } catch (error) {
      const fault = error instanceof HastError ? error.fault : faultOf(error);
      port.postMessage({ failure: call, fault, text: describeError(error) } satisfies Failure);
      if (codeOf(error) === null) onBug(error);
    }
  };
  port.on('message', (envelope: Envelope) => {
    if ('call' in envelope) {
      void serve(envelope);
      return;
    }
    const id = 'answer' in envelope ? envelope.answer : envelope.failure;
    const done = waiting.get(id);
    waiting.delete(id);
    if ('answer' in envelope) done?.resolve(envelope.value);
    else done?.reject(new ThreadError(envelope.fault, envelope.text));
  });
  return {
    call: (method, ...args) => {
      next += 1;
      const done = deferred<unknown>();
      waiting.set(next, done);
      port.postMessage({ call: next, method, args } satisfies Call);
      return done.promise as ReturnType<Theirs[typeof method]>;
    },
  };
}

const faultOf = (error: unknown): Fault => ({ code: codeOf(error) ?? 'CONTROL_FAILED' });
