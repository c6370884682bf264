// The owner of the intent map on files of the crash world: what a crash leaves in doubt, which bits
// are cleared, which are kept; and writers that come in the middle of clearing (H9, W1). A writer
// is let in where the clearer looks at the live map or writes the file, and the clearer where a
// writer writes the file: these are the places where another thread can be seen.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import type { FileHandle } from '../../src/base/files.js';
import { seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../../src/base/units.js';
import { intentPageOffset } from '../../src/format/intent-file.js';
import { Core, runNow, section } from '../../src/volume/core.js';
import { createIntentFile, IntentOwner, intentWriter } from '../../src/volume/intent.js';
import * as M from '../../src/volume/memory.js';
import { CrashWorld } from '../world/memory-files.js';

const PATH = '/state/intent.map';
const EXTENT_BYTES = 64 * 1024;
const SIZE_BYTES = 10 * MIB + 512;
const RESOURCE = seededRandom(1).bytes(16);
const header = { resource: RESOURCE, sizeBytes: SIZE_BYTES, extentBytes: EXTENT_BYTES };

interface Owned {
  readonly world: CrashWorld;
  readonly handle: FileHandle;
  readonly core: Core;
  readonly owner: IntentOwner;
  /** Runs one write section of one block in `extent`; returns what `inIo` says during the I/O. */
  readonly write: (extent: number, inWrite?: () => void) => string;
}

const shape = {
  sizeBytes: SIZE_BYTES,
  extentBytes: EXTENT_BYTES,
  targets: 1,
  spillBytes: MIB,
  metaflush: false,
};

async function openOwned(world: CrashWorld, keepdirty: number): Promise<Owned> {
  const handle = await world.open(PATH, 'write');
  const memory = M.allocateVolume(shape);
  const core = new Core(memory, M.THREADS_MAX - 1);
  const owner = new IntentOwner(core, handle, keepdirty);
  assert.equal(await owner.load(header), 'whole');
  let threads = 0;
  const write = (extent: number, inWrite = () => {}): string => {
    const mine = new Core(memory, threads % 8);
    threads += 1;
    let outcome = 'not written';
    const writeIntent = (page: number, bytes: Uint8Array): void => {
      inWrite();
      intentWriter(handle)(page, bytes);
    };
    const io = (): void => {
      outcome = inFile(world, extent) ? 'safe' : `W1: ${extent} is not in the file`;
    };
    const blocked = runNow(section(mine, extent * EXTENT_BYTES, BLOCK_BYTES, writeIntent, io));
    return blocked?.why ?? outcome;
  };
  return { world, handle, core, owner, write };
}

async function made(keepdirty = 0): Promise<Owned> {
  const world = new CrashWorld();
  await world.makeDirectory('/state');
  await createIntentFile(world, PATH, header);
  return openOwned(world, keepdirty);
}

const inFile = (world: CrashWorld, extent: number): boolean => {
  const byte = world.peek(PATH)?.[intentPageOffset(0) + (extent >>> 3)] ?? 0;
  return (byte & (1 << (extent & 7))) !== 0;
};

const bitsInFile = (world: CrashWorld): number[] => {
  const all = Array.from({ length: Math.ceil(SIZE_BYTES / EXTENT_BYTES) }, (_, extent) => extent);
  return all.filter((extent) => inFile(world, extent));
};

/** What a published checkpoint does to the live map, and tells of it (Volume.onSwap). */
function checkpointed({ core, owner }: Owned): void {
  owner.noteWritten(core.liveMap());
  core.liveMap().clearAll();
}

describe('intent map', () => {
  test('a new file is whole, durable and without bits', async () => {
    const { world } = await made();
    assert.equal(world.sizeNow(PATH), intentPageOffset(1));
    assert.deepEqual(world.unsyncedFiles(), []);
    assert.deepEqual(bitsInFile(world), []);
  });

  test('W1: the bit is in the file before the data; each extent is written once', async () => {
    const owned = await made();
    for (const extent of [3, 0, 160, 3, 31, 32]) assert.equal(owned.write(extent), 'safe');
    assert.deepEqual(bitsInFile(owned.world), [0, 3, 31, 32, 160]);
    assert.equal(owned.core.control[M.INTENT_WRITES], 5);
  });

  test('after a crash of the daemon the extents written are in doubt', async () => {
    const owned = await made();
    for (const extent of [0, 7, 160]) owned.write(extent);
    const after = await openOwned(owned.world.afterCrash('none', seededRandom(1)), 0);
    const into = after.core.slots[0]?.maps[0];
    assert.ok(into);
    assert.equal(after.owner.markExtents(into), 3);
    assert.deepEqual(into.count(), { blocks: 33, chunks: 3 }); // the last has one short block
    assert.equal(after.write(7), 'safe');
    assert.equal(after.core.control[M.INTENT_WRITES], 0, 'a bit of the file is believed');
  });

  test('a file of another disk is not believed', async () => {
    const { handle, core } = await made();
    const owner = new IntentOwner(core, handle, 0);
    assert.equal(await owner.load({ ...header, sizeBytes: SIZE_BYTES - 512 }), 'foreign');
    assert.equal(await owner.load({ ...header, extentBytes: 2 * EXTENT_BYTES }), 'foreign');
    assert.equal(await owner.load({ ...header, resource: new Uint8Array(16) }), 'foreign');
    const larger = { ...header, sizeBytes: SIZE_BYTES + 512 };
    assert.equal(await owner.load(larger), 'smaller', 'of this disk before a growth (H14)');
    await handle.truncate(intentPageOffset(0) + 100);
    assert.equal(await owner.load(header), 'foreign', 'a page is not whole');
    await handle.truncate(100);
    await assert.rejects(owner.load(header), (error) => codeOf(error) === 'FORMAT_BAD');
  });

  test('H14: the file of the disk before a growth is made anew with its bits', async () => {
    // Two pages of bits, so that a page is added too.
    const grown = { ...header, sizeBytes: (32_768 + 5) * EXTENT_BYTES };
    const owned = await made();
    for (const extent of [3, 160]) owned.write(extent);
    const memory = M.allocateVolume({ ...shape, sizeBytes: grown.sizeBytes });
    const core = new Core(memory, 0);
    const { world } = owned;
    world.settle();
    assert.equal(await new IntentOwner(core, owned.handle, 0).load(grown), 'smaller');
    await createIntentFile(world, PATH, grown, memory.intent);
    const left = world.afterCrash('all', seededRandom(1));
    assert.equal(left.sizeNow(PATH), intentPageOffset(2), 'whole and durable');
    const again = new Core(M.allocateVolume({ ...shape, sizeBytes: grown.sizeBytes }), 0);
    const owner = new IntentOwner(again, await left.open(PATH, 'write'), 0);
    assert.equal(await owner.load(grown), 'whole');
    const into = again.liveMap();
    assert.equal(owner.markExtents(into), 2);
    assert.deepEqual([into.chunkMask(3), into.chunkMask(160)], [0xffff, 0xffff], 'all of the last');
    assert.equal(into.nextChunk(161), -1, 'what is new has no bit: loadDirty marks it');
  });

  test('bits are cleared only where the live map has nothing', async () => {
    const owned = await made();
    for (const extent of [1, 2, 40]) owned.write(extent);
    assert.equal(owned.owner.clearCold(), 0);
    checkpointed(owned);
    owned.write(2);
    assert.equal(owned.owner.clearCold(), 2);
    assert.deepEqual(bitsInFile(owned.world), [2]);
    assert.equal(owned.write(1), 'safe');
    assert.deepEqual(bitsInFile(owned.world), [1, 2]);
  });

  test('the keepdirty most recently written extents keep their bit', async () => {
    const owned = await made(2);
    for (const extent of [1, 2, 3, 4]) {
      owned.write(extent);
      checkpointed(owned);
      owned.owner.clearCold();
    }
    assert.deepEqual(bitsInFile(owned.world), [3, 4]);
    const writes = owned.core.control[M.INTENT_WRITES];
    assert.equal(owned.write(4), 'safe');
    assert.equal(owned.core.control[M.INTENT_WRITES], writes, 'a hot extent pays nothing (H9c)');
  });

  test('a failed write of the page leaves bits in the file and believes none of them', async () => {
    const owned = await made();
    owned.write(1);
    checkpointed(owned);
    owned.world.failNext({ operation: 'write', path: PATH }, 'ENOSPC');
    assert.throws(() => owned.owner.clearCold());
    assert.equal(owned.core.control[M.INTENT_LOCK], 0);
    assert.equal(owned.write(1), 'safe');
    assert.deepEqual(bitsInFile(owned.world), [1]);
  });
});

describe('H9, W1: another thread in the middle of clearing', () => {
  for (const side of ['before', 'after'] as const) {
    test(`a writer that comes just ${side} a look of the clearer at the live map`, async () => {
      const owned = await made();
      owned.write(5);
      checkpointed(owned);
      const answers = atLook(owned, 1, side, () => owned.write(5));
      owned.owner.clearCold();
      if (answers[0] === 'intent-busy') answers.push(owned.write(5));
      assert.equal(answers.at(-1), 'safe', answers.join());
      assert.ok(inFile(owned.world, 5));
    });
  }

  test('a writer that comes when the clearer writes the file', async () => {
    const owned = await made();
    owned.write(5);
    checkpointed(owned);
    const said: string[] = [];
    const real = owned.handle.writeNow.bind(owned.handle);
    owned.handle.writeNow = (bytes, offset) => {
      said.push(owned.write(5), owned.write(6));
      real(bytes, offset);
    };
    owned.owner.clearCold();
    owned.handle.writeNow = real;
    // Of each copy of the page.
    assert.deepEqual(said, Array(4).fill('intent-busy'));
    assert.deepEqual([owned.write(5), owned.write(6)], ['safe', 'safe']);
  });

  test('a clearer that comes when a writer writes the file, and a second writer', async () => {
    const owned = await made();
    let second = '';
    const first = owned.write(5, () => {
      owned.owner.clearCold();
      second = owned.write(5);
    });
    assert.notEqual(second, 'W1: 5 is not in the file');
    assert.equal(first, 'safe');
    assert.equal(owned.write(5), 'safe');
  });

  test('a writer that cannot write the file, the clearer, a second writer', async () => {
    const owned = await made();
    const full = (): void => {
      throw new Error('no space');
    };
    assert.throws(() => owned.write(5, full), /no space/);
    owned.owner.clearCold();
    assert.equal(owned.write(5), 'safe');
  });
});

/** Lets `work` in beside the `look`th look at the live map by the owner; returns its answers. */
function atLook(owned: Owned, look: number, side: 'before' | 'after', work: () => string) {
  const answers: string[] = [];
  const map = owned.core.liveMap();
  const anyMarked = map.anyMarked.bind(map);
  let looks = 0;
  map.anyMarked = (first, last) => {
    looks += 1;
    if (looks === look && side === 'before') answers.push(work());
    const marked = anyMarked(first, last);
    if (looks === look && side === 'after') answers.push(work());
    return marked;
  };
  return answers;
}
