// Frames laid in threads, as `hastctl restore` does: the same disk as in the calling thread, also
// of a sealed archive and of frames that many regions need; and what is damaged is named as there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Archive } from '../../src/archive/archive.js';
import { PointTrees } from '../../src/archive/tree.js';
import { equalBytes } from '../../src/base/digest.js';
import { codeOf, describeError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { Frames } from '../../src/restore/frames.js';
import { type Lay, layHere } from '../../src/restore/lay-frames.js';
import { startLayThreads } from '../../src/restore/lay-threads.js';
import { restoreToDisk } from '../../src/restore/to-disk.js';
import { makeArchive } from '../archive/directory-archive.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';

const DISK = '/disk';
const MIB = 1024 * 1024;
const SHAPE = { sizeBytes: 40 * MIB + 512, rounds: 3, blocks: 200 };
const SECRET = { kind: 'key', bytes: seededRandom(7).bytes(32) } as const;

const opened = async (objects: MemoryObjects, secret: typeof SECRET | null) => {
  const archive = await Archive.open(new MemoryStore(objects), secret);
  assert.ok(archive);
  return archive;
};

async function restored(archive: Archive, sequence: number, lay: Lay): Promise<Uint8Array> {
  const point = await archive.point({ epoch: 1, sequence });
  assert.ok(point);
  const { sizeBytes } = point;
  const world = new CrashWorld();
  world.plant(DISK, sizeBytes);
  const device = openWorldDevice(world, DISK);
  const trees = new PointTrees(archive, point.trees);
  const source = {
    url: archive.store.url,
    frames: new Frames(archive.store, lay),
    trees,
    sizeBytes,
  };
  const signal = new AbortController().signal;
  try {
    await restoreToDisk(source, device, { target: 'fresh', signal });
  } finally {
    await device.close();
  }
  return world.peek(DISK) ?? new Uint8Array(0);
}

for (const secret of [null, SECRET]) {
  const kind = secret === null ? 'an archive' : 'a sealed archive';

  test(`${kind}, every point`, async () => {
    const { objects, images } = await makeArchive(3, { ...SHAPE, ...(secret && { secret }) });
    const archive = await opened(objects, secret);
    const threads = startLayThreads(archive.dataKey);
    try {
      for (const [at, image] of images.entries()) {
        assert.ok(equalBytes(await restored(archive, at + 1, threads.lay), image), `${at + 1}`);
      }
    } finally {
      await threads.close();
    }
  });

  test(`${kind} with a wrong byte in a pack: the same error as in the calling thread`, async () => {
    const { objects } = await makeArchive(3, { ...SHAPE, ...(secret && { secret }) });
    const packs = [...objects].filter(([key]) => key.startsWith('packs/'));
    const [key, pack] = packs.reduce((one, other) =>
      one[1].bytes.length > other[1].bytes.length ? one : other,
    );
    const bytes = pack.bytes.slice();
    for (let at = 1000; at < bytes.length; at += 64 * 1024) bytes[at] = (bytes[at] ?? 0) ^ 1;
    const archive = await opened(new Map([...objects, [key, { ...pack, bytes }]]), secret);
    const failure = async (lay: Lay): Promise<string> => {
      const error: unknown = await restored(archive, 3, lay).then(
        () => assert.fail('a damaged archive was restored'),
        (reason: unknown) => reason,
      );
      assert.equal(codeOf(error), 'FORMAT_BAD');
      return describeError(error);
    };
    const threads = startLayThreads(archive.dataKey);
    try {
      const here = await failure(layHere(archive.keyOf));
      assert.ok(here.includes(key), here);
      assert.equal(await failure(threads.lay), here);
    } finally {
      await threads.close();
    }
  });
}
