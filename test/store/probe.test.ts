// `hastctl archive check` on stores that keep their word, and on some that do not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { type Probe, probeStore } from '../../src/store/probe.js';
import type { ObjectStore } from '../../src/store/store.js';
import { MemoryStore, type StoreWeather } from './memory-store.js';

const probe = (store: ObjectStore, storageClass: string | null = null): Promise<Probe> =>
  probeStore(store, { clock: systemClock, random: seededRandom(1) }, storageClass);

const missing = ({ findings }: Probe): string[] =>
  findings.filter(({ result }) => result !== 'yes').map(({ name }) => name);

/** A store of which one method is another. */
function twisted(changes: Partial<ObjectStore>, weather: StoreWeather = {}): ObjectStore {
  const store = new MemoryStore(new Map(), weather);
  return new Proxy<ObjectStore>(store, {
    get: (real, name) => {
      const value: unknown = Reflect.get({ ...changes }, name) ?? Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
}

test('a store that keeps its word is safe, and nothing is left in it', async () => {
  const store = new MemoryStore();
  const found = await probe(store);
  assert.deepEqual(missing(found), []);
  assert.equal(found.verdict, 'safe');
  assert.equal(store.objects.size, 0);
  assert.ok(found.counts.put > 5);
});

test('one that ignores the condition is good for one writer', async () => {
  const put = MemoryStore.prototype.put;
  const found = await probe(
    twisted({
      put(this: MemoryStore, key, bytes) {
        return put.call(this, key, bytes, 'replace');
      },
    }),
  );
  assert.equal(found.verdict, 'one-writer');
  assert.deepEqual(missing(found), ['create once', 'race']);
});

test('one that answers several writers of a race is good for one writer', async () => {
  const put = MemoryStore.prototype.put;
  const found = await probe(
    twisted({
      async put(this: MemoryStore, key, bytes, how) {
        const answer = await put.call(this, key, bytes, how);
        return key.endsWith('/race') ? 'stored' : answer;
      },
    }),
  );
  assert.deepEqual(missing(found), ['race']);
  assert.equal(found.verdict, 'one-writer');
});

test('one whose reads are stale, whose removals do nothing, or that fails, is unsafe', async () => {
  const first = new Map<string, Uint8Array>();
  const readWhole = MemoryStore.prototype.readWhole;
  const stale = await probe(
    twisted({
      async readWhole(this: MemoryStore, key, bytesMax) {
        const found = await readWhole.call(this, key, bytesMax);
        if (found !== null && !first.has(key)) first.set(key, found);
        return first.get(key) ?? found;
      },
    }),
  );
  assert.deepEqual(missing(stale), ['replace']);
  assert.equal(stale.verdict, 'unsafe');
  const kept = await probe(twisted({ remove: async () => {} }));
  assert.deepEqual(missing(kept), ['remove']);
  assert.equal(kept.verdict, 'unsafe');
  let puts = 0;
  const fails = (request: string) => (request === 'get' && puts++ > 0 ? 'before' : null);
  const gone = await probe(twisted({}, { fails }));
  assert.equal(gone.verdict, 'unsafe');
  assert.match(gone.findings[1]?.text ?? '', /get of probe\/.* failed for now/);
});

test('what cannot even be tried is an error, and says nothing of the store', async () => {
  const away = new MemoryStore(new Map(), { fails: () => 'before' });
  await assert.rejects(probe(away), (error) => codeOf(error) === 'STORE_UNREACHABLE');
});

test('a storage class that is not taken is found', async () => {
  const found = await probe(new MemoryStore(), 'STANDARD_IA');
  assert.deepEqual(missing(found), ['write and read']);
  assert.match(found.findings[0]?.text ?? '', /STANDARD_IA was asked for/);
});
