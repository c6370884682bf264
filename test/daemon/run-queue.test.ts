// Order of the runs of a target: one at a time, requests that wait share a run, one that comes
// while a run is under way gets the next, and what runs can be ended from outside.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { RunQueue } from '../../src/daemon/run-queue.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A queue whose runs end when told; `signals` has one for every run that has begun. */
function world() {
  const queue = new RunQueue<number>();
  const gates: (() => void)[] = [];
  const signals: AbortSignal[] = [];
  const work = async (signal: AbortSignal): Promise<number> => {
    const gate = deferred<void>();
    signals.push(signal);
    gates.push(() => gate.resolve(undefined));
    await gate.promise;
    return signals.length;
  };
  return { queue, gates, signals, request: () => queue.request(work) };
}

test('requests that wait share one run; one during a run gets the next', async () => {
  const { queue, gates, signals, request } = world();
  const first = request();
  await turn();
  assert.equal(signals.length, 1);
  const [second, third] = [request(), request()];
  assert.equal(second, third, 'both come before the cut of the same run');
  await turn();
  assert.equal(signals.length, 1, 'never two at once');
  gates[0]?.();
  await first;
  await turn();
  assert.equal(signals.length, 2);
  assert.equal(queue.busy, true);
  gates[1]?.();
  assert.equal(await second, 2);
  assert.equal(queue.busy, false);
});

test('a run that fails leaves the queue in order', async () => {
  const queue = new RunQueue<number>();
  await assert.rejects(
    queue.request(async () => {
      throw new RangeError('no');
    }),
    RangeError,
  );
  assert.equal(queue.busy, false);
  assert.equal(await queue.request(async () => 7), 7);
});

test('cancel ends what runs and nothing else', async () => {
  const { queue, gates, signals, request } = world();
  assert.equal(queue.cancel(), false, 'nothing runs');
  const first = request();
  await turn();
  const second = request();
  assert.equal(queue.cancel(), true);
  assert.equal(signals[0]?.aborted, true);
  gates[0]?.();
  await first;
  await turn();
  assert.equal(signals[1]?.aborted, false, 'the next one was not meant');
  gates[1]?.();
  await second;
});

test('what must not be disturbed cannot be cancelled, and runs wait for it', async () => {
  const { queue, gates, signals, request } = world();
  const gate = deferred<void>();
  const verified = queue.exclusive(() => gate.promise);
  const run = request();
  await turn();
  assert.equal(queue.cancel(), false);
  assert.equal(signals.length, 0);
  gate.resolve(undefined);
  await verified;
  await turn();
  assert.equal(signals.length, 1);
  gates[0]?.();
  await run;
});

test('close aborts what runs and what waits, and resolves when both have ended', async () => {
  const { queue, gates, signals, request } = world();
  const [first] = [request()];
  await turn();
  const second = request();
  let closed = false;
  const closing = queue.close().then(() => {
    closed = true;
  });
  await turn();
  assert.equal(signals[0]?.aborted, true);
  assert.equal(closed, false);
  gates[0]?.();
  await first;
  await turn();
  assert.equal(signals[1]?.aborted, true, 'what begins after close is aborted from the start');
  assert.equal(closed, false);
  gates[1]?.();
  await second;
  await closing;
  assert.equal(closed, true);
});
