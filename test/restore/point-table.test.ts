// Points whose own object is lost or damaged: they are listed with what is wrong, the others are
// read and checked, and nobody is told that there is no such point.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { codeOf, describeError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { pointKey } from '../../src/format/archive-objects.js';
import { ArchiveReader } from '../../src/restore/archive-reader.js';
import { keptPoint } from '../../src/restore/archive-source.js';
import { makeArchive } from '../archive/directory-archive.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';

const MIB = 1024 * 1024;
const SHAPE = { sizeBytes: 4 * MIB, rounds: 4, blocks: 20 };
const watch = { signal: new AbortController().signal, onProgress: () => {} };

const readerOf = (objects: MemoryObjects): Promise<ArchiveReader> =>
  ArchiveReader.open(new MemoryStore(objects), null, new CrashWorld(), seededRandom(1));

const key = (sequence: number): string => pointKey({ epoch: 1, sequence });

/** Point 2 is gone, and one byte of point 3 is another. */
async function hurt(): Promise<MemoryObjects> {
  const { objects } = await makeArchive(31, SHAPE);
  const third = objects.get(key(3));
  assert.ok(third && objects.delete(key(2)));
  const bytes = third.bytes.slice();
  bytes[60] = (bytes[60] ?? 0) ^ 1;
  return objects.set(key(3), { ...third, bytes });
}

test('what is lost and what is damaged have their rows', async () => {
  const { rows } = await (await readerOf(await hurt())).points();
  assert.deepEqual(
    rows.map(({ number, point }) => [number, point?.to.number ?? null]),
    [
      [4, 4],
      [3, null],
      [2, null],
      [1, 1],
    ],
  );
  const [, third, second] = rows.map(({ error }) => (error === null ? '' : describeError(error)));
  assert.match(third ?? '', new RegExp(`bucket/${key(3)}: not a whole `));
  assert.match(second ?? '', new RegExp(`bucket/${key(2)}: .*it is not there`));
});

test('a check counts them among the damaged, and reads the others', async () => {
  const objects = await hurt();
  const checked = await (await readerOf(objects)).check(null, 1, watch);
  assert.deepEqual(checked.points, [4, 3, 2, 1]);
  assert.deepEqual(checked.damagedPoints, [3, 2]);
  assert.deepEqual(
    checked.index.map(({ points }) => points),
    [[3], [2]],
  );
  assert.ok(checked.chunks > 0 && checked.damagedChunks === 0);
  const quick = await (await readerOf(objects)).checkPacks(null, watch);
  assert.deepEqual([quick.points, quick.damaged.length], [[4, 3, 2, 1], 2]);
  assert.ok(quick.packs > 0);
});

test('what is kept and not there is damage; what was pruned meanwhile is nothing', async () => {
  const objects = await hurt();
  const archive = await Archive.open(new MemoryStore(objects), null);
  assert.ok(archive);
  await assert.rejects(
    keptPoint(archive, { epoch: 1, sequence: 2 }),
    (error) => codeOf(error) === 'FORMAT_BAD',
  );
  assert.equal(await keptPoint(archive, { epoch: 1, sequence: 9 }), null);
  const reader = await readerOf(objects);
  const asked = (number: number) =>
    reader.point({ text: `${number}`, spec: { kind: 'number', number } });
  await assert.rejects(asked(2), (error) => codeOf(error) === 'FORMAT_BAD');
  await assert.rejects(asked(9), (error) => codeOf(error) === 'POINT_UNKNOWN');
});

for (const what of ['the newest point', 'the newest two', 'the head and the newest'] as const) {
  test(`damaged: ${what}; older ones are found, none is taken for it`, async () => {
    const { objects } = await makeArchive(32, SHAPE);
    const keys = {
      'the newest point': [key(4)],
      'the newest two': [key(4), key(3)],
      'the head and the newest': ['head', key(4)],
    }[what];
    for (const each of keys) {
      const object = objects.get(each);
      assert.ok(object !== undefined);
      const bytes = object.bytes.slice();
      bytes[20] = (bytes[20] ?? 0) ^ 1;
      objects.set(each, { ...object, bytes });
    }
    const newest = 4 - keys.filter((each) => each !== 'head').length;
    const reader = await readerOf(objects);
    const { rows, newer } = await reader.points();
    assert.deepEqual(
      rows.map(({ number }) => number),
      Array.from({ length: newest }, (_, at) => newest - at),
    );
    assert.equal(newer.length, 4 - newest);
    const spec = { kind: 'number', number: newest } as const;
    assert.equal((await reader.point({ text: '', spec })).to.number, newest);
    const latest = reader.point({ text: 'latest', spec: { kind: 'latest' } });
    await assert.rejects(latest, (error: unknown) => {
      assert.equal(codeOf(error), 'POINT_NEWER_LOST');
      assert.match(describeError(error), new RegExp(`the newest that can be is @${newest}, of `));
      return true;
    });
    const { index, damagedPoints, chunks } = await reader.check(null, 1, watch);
    assert.deepEqual([index.length, damagedPoints], [newer.length, []]);
    assert.ok(chunks > 0);
  });
}
