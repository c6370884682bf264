// A store that cannot be reached for a while: what is asked is tried again as long as it may be,
// and not when it is closed, nor when trying again would change nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { patientStore } from '../../src/store/patient-store.js';
import { StoreError, type StoreFault } from '../../src/store/store.js';
import { FakeClock } from '../world/fake-clock.js';
import { MemoryStore } from './memory-store.js';

const KEEP_MS = 20_000;

function world(fails: () => 'before' | 'after' | null) {
  const clock = new FakeClock();
  const inner = new MemoryStore(new Map(), { fails });
  const options = { keepMs: () => KEEP_MS, clock, random: seededRandom(1) };
  return { clock, inner, store: patientStore(inner, options) };
}

/** Lets the clock run until `work` has ended. */
async function ended<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let over = false;
  work.then(
    () => (over = true),
    () => (over = true),
  );
  for (let turn = 0; !over && turn < 10_000; turn += 1) {
    await clock.advance(100);
  }
  return work;
}

test('an outage that is shorter than it waits is not seen, a lost answer is "exists"', async () => {
  let left = 3;
  const { clock, store, inner } = world(() => {
    left -= 1;
    return left > 0 ? 'before' : null;
  });
  assert.equal(await ended(clock, store.put('a', new Uint8Array(3), 'create')), 'stored');
  assert.equal(inner.counts.put, 3);
  left = 2;
  const lost = world(() => {
    left -= 1;
    return left > 0 ? 'after' : null;
  });
  assert.equal(await ended(lost.clock, lost.store.put('a', new Uint8Array(3), 'create')), 'exists');
});

test('a longer one is an error, at about that time', async () => {
  const { clock, store } = world(() => 'before');
  const began = clock.monotonicMs();
  await assert.rejects(ended(clock, store.head('a')), /failed for now/);
  const tookMs = clock.monotonicMs() - began;
  assert.ok(tookMs > KEEP_MS / 4 && tookMs <= KEEP_MS + 1000, `${tookMs} ms`);
});

test('what is wrong for good is told at once; a close ends the waiting', async () => {
  const { store, inner, clock } = world(() => null);
  await assert.rejects(store.read('none', 0, 1), (error) => {
    assert.ok(error instanceof StoreError);
    const { code }: StoreFault = error.fault;
    return code === 'STORE_MISSING';
  });
  assert.equal(inner.counts.get, 1);
  const other = world(() => 'before');
  const asked = other.store.head('a');
  asked.catch(() => undefined);
  await clock.advance(0);
  await other.store.close();
  await assert.rejects(ended(other.clock, asked), /failed for now/);
  assert.ok(other.inner.counts.head <= 2);
});
