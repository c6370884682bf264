// The contract of `ObjectStore` (src/store/store.ts), run against every implementation: memory,
// directory, the strict S3 of strict-s3.ts, and a real server where one is installed.
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { mapAhead } from '../../src/base/ahead.js';
import { isZero } from '../../src/base/digest.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { ObjectStore } from '../../src/store/store.js';

export interface StoreUnderTest {
  readonly store: ObjectStore;
  /** Another one on the same objects: another process. */
  readonly other: () => Promise<ObjectStore>;
}

/** Null: it cannot run here, and the test has been skipped. */
export type MakeStore = (t: TestContext) => Promise<StoreUnderTest | null>;

const WRITERS = 20;
const LISTED = 1203;

const bytesOf = (seed: number, length: number): Uint8Array => seededRandom(seed).bytes(length);

const rejectsWith = (work: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(work, (error) => codeOf(error) === code);

async function keysOf(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}

export function describeStoreContract(name: string, make: MakeStore): void {
  const contract = (title: string, body: (world: StoreUnderTest) => Promise<void>): void => {
    test(title, async (t) => {
      const world = await make(t);
      if (world === null) return;
      try {
        await body(world);
      } finally {
        await world.store.close();
        await world.store.close();
      }
    });
  };

  describe(`store: ${name}`, () => {
    contract('what is put is read back, whole and in ranges, by another process', async (world) => {
      const bytes = bytesOf(1, 100_000);
      assert.equal(await world.store.put('packs/ab/x.1', bytes, 'replace'), 'stored');
      const other = await world.other();
      assert.deepEqual(
        Buffer.from((await other.readWhole('packs/ab/x.1', 100_000)) ?? []),
        Buffer.from(bytes),
      );
      for (const [from, length] of [
        [0, 1],
        [0, 100_000],
        [99_999, 1],
        [4096, 65_536],
      ] as const) {
        const read = await other.read('packs/ab/x.1', from, length);
        assert.deepEqual(Buffer.from(read), Buffer.from(bytes.subarray(from, from + length)));
        const into = new Uint8Array(new SharedArrayBuffer(length + 100)).subarray(50);
        const there = await other.read('packs/ab/x.1', from, length, into);
        assert.deepEqual(Buffer.from(there), Buffer.from(read));
        assert.deepEqual([there.buffer, there.byteOffset], [into.buffer, 50], 'where it was told');
        assert.ok(isZero(into.subarray(length)), 'and nowhere else');
      }
      await other.close();
    });

    contract('an empty object is an object', async ({ store }) => {
      await store.put('empty', new Uint8Array(0), 'create');
      assert.equal((await store.readWhole('empty', 10))?.length, 0);
      assert.equal((await store.head('empty'))?.bytes, 0);
    });

    contract('8 MiB at once', async ({ store }) => {
      const bytes = bytesOf(2, 8 * 1024 * 1024);
      await store.put('large', bytes, 'replace');
      assert.ok(Buffer.from((await store.readWhole('large', bytes.length)) ?? []).equals(bytes));
    });

    contract('what is not there: null, or STORE_MISSING of a range', async ({ store }) => {
      assert.equal(await store.readWhole('none', 100), null);
      assert.equal(await store.head('none/at/all'), null);
      await rejectsWith(store.read('none', 0, 1), 'STORE_MISSING');
    });

    contract(
      'a range beyond the end is STORE_SHORT, of which none is believed',
      async ({ store }) => {
        await store.put('short', bytesOf(3, 1000), 'replace');
        await rejectsWith(store.read('short', 990, 20), 'STORE_SHORT');
        await rejectsWith(store.read('short', 1000, 1), 'STORE_SHORT');
        await rejectsWith(store.read('short', 5000, 1), 'STORE_SHORT');
      },
    );

    contract('more than is allowed is not read', async ({ store }) => {
      await store.put('big', bytesOf(4, 5000), 'replace');
      await rejectsWith(store.readWhole('big', 4999), 'STORE_TOO_LARGE');
      assert.equal((await store.readWhole('big', 5000))?.length, 5000);
    });

    contract('replace replaces', async ({ store }) => {
      await store.put('head', bytesOf(5, 100), 'replace');
      await store.put('head', bytesOf(6, 50), 'replace');
      assert.deepEqual(
        Buffer.from((await store.readWhole('head', 100)) ?? []),
        Buffer.from(bytesOf(6, 50)),
      );
    });

    contract(
      'create makes an object once, and leaves what there is (H35)',
      async ({ store, other }) => {
        assert.equal(await store.put('points/1', bytesOf(7, 100), 'create'), 'stored');
        assert.equal(await store.put('points/1', bytesOf(8, 100), 'create'), 'exists');
        const second = await other();
        assert.equal(await second.put('points/1', bytesOf(9, 100), 'create'), 'exists');
        assert.deepEqual(
          Buffer.from((await second.readWhole('points/1', 100)) ?? []),
          Buffer.from(bytesOf(7, 100)),
        );
        await second.close();
      },
    );

    contract(`of ${WRITERS} who create the same object one wins`, async ({ store, other }) => {
      const second = await other();
      for (let race = 0; race < 3; race += 1) {
        const writers = Array.from({ length: WRITERS }, (_, at) => bytesOf(100 + at, 64 + at));
        const answers = await Promise.all(
          writers.map((bytes, at) =>
            // An answer of a lost race may be any; what counts is what stands there (H35).
            (at % 2 === 0 ? store : second)
              .put(`race/${race}`, bytes, 'create')
              .catch(() => 'lost'),
          ),
        );
        const stands = await store.readWhole(`race/${race}`, 1000);
        const winners = writers.filter((bytes) =>
          Buffer.from(bytes).equals(Buffer.from(stands ?? [])),
        );
        assert.equal(winners.length, 1, 'one whole object stands');
        assert.ok(answers.filter((answer) => answer === 'stored').length <= 1);
      }
      await second.close();
    });

    contract('remove removes, and what is gone is no error', async ({ store }) => {
      await store.put('a/b/c', bytesOf(10, 10), 'replace');
      await store.put('a/b/d', bytesOf(11, 10), 'replace');
      await store.remove(['a/b/c', 'never/there']);
      assert.equal(await store.head('a/b/c'), null);
      assert.equal((await store.head('a/b/d'))?.bytes, 10);
      await store.remove(['a/b/d']);
      await store.remove([]);
      assert.equal(await store.put('a/b/d', bytesOf(12, 10), 'create'), 'stored');
    });

    contract('list gives keys below a prefix, in order, over several pages', async ({ store }) => {
      const keys = Array.from(
        { length: LISTED },
        (_, at) => `list/k${String(at).padStart(5, '0')}`,
      );
      keys.push('list-a', 'list/k/z', 'lis', 'other');
      const put = (key: string) => store.put(key, bytesOf(13, 3), 'replace');
      // More at once wait so long for a socket that it is called a time-out.
      for await (const done of mapAhead(keys, 32, put)) assert.equal(done, 'stored');
      const wanted = keys.filter((key) => key.startsWith('list/')).sort();
      assert.deepEqual(await keysOf(store, 'list/'), wanted);
      assert.deepEqual(await keysOf(store, 'list/k0000'), wanted.slice(1, 11));
      assert.deepEqual(await keysOf(store, 'lis'), [...wanted, 'list-a', 'lis'].sort());
      assert.deepEqual(await keysOf(store, 'nothing'), []);
      await store.remove(keys);
      assert.deepEqual(await keysOf(store, ''), []);
    });

    contract('requests are counted as they are billed, bytes as they go', async ({ store }) => {
      const before = { ...store.counts };
      await store.put('counted', bytesOf(14, 1000), 'replace');
      await store.read('counted', 0, 100);
      await store.readWhole('counted', 1000);
      await store.head('counted');
      const { put, get, head, list, upBytes, downBytes } = store.counts;
      assert.equal(put - before.put, 1);
      assert.equal(get - before.get, 2);
      assert.equal(head - before.head, 1);
      assert.equal(list - before.list, 0);
      assert.equal(upBytes - before.upBytes, 1000);
      assert.equal(downBytes - before.downBytes, 1100);
    });
  });
}
