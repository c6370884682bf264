// A client's signal reaches another thread: whenever it is aborted, and never by itself.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel } from 'node:worker_threads';
import { deferred } from '../../src/base/sync.js';
import { type StopWord, signalOf, withStopWord } from '../../src/daemon/stop-word.js';
import { connectThreads } from '../../src/daemon/thread-calls.js';

const LIMIT = { timeout: 10_000 };

/** The signal as somebody sees it to whom the word was sent. */
function overThreads(t: TestContext, signal: AbortSignal) {
  const { port1, port2 } = new MessageChannel();
  const seen = deferred<AbortSignal>();
  const done = deferred<void>();
  const far = {
    work: async (stop: StopWord): Promise<void> => {
      seen.resolve(signalOf(stop));
      await done.promise;
    },
  };
  connectThreads<typeof far, Record<string, never>>(port1, far, () => undefined);
  const near = connectThreads<Record<string, never>, typeof far>(port2, {}, () => undefined);
  t.after(() => port1.close());
  const ended = withStopWord(signal, (stop) => near.call('work', stop));
  return { seen: seen.promise, done, ended };
}

test('aborted while it works: the other end sees it', LIMIT, async (t) => {
  const client = new AbortController();
  const { seen, done, ended } = overThreads(t, client.signal);
  const signal = await seen;
  await sleep(20);
  assert.equal(signal.aborted, false);
  const heard = new Promise((resolve) => signal.addEventListener('abort', resolve));
  client.abort();
  await heard;
  done.resolve();
  await ended;
});

test('aborted before it began: so it is over there', LIMIT, async (t) => {
  const { seen, done, ended } = overThreads(t, AbortSignal.abort());
  assert.equal((await seen).aborted, true);
  done.resolve();
  await ended;
});
