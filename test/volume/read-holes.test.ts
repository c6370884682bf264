// Holes that reads are told (READ_CONTEXT), on a file system that forgets what is not flushed: none
// where a read would find anything but zeroes, whoever writes, cuts, flushes and drops marks; what
// the question costs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom, systemRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { BASE_ALLOCATION, READ_CONTEXT } from '../../src/nbd/meta-context.js';
import { Extents } from '../../src/volume/extents.js';
import * as M from '../../src/volume/memory.js';
import type { FrozenSet } from '../../src/volume/volume.js';
import { ForgetfulDevice } from './forgetful-device.js';
import { filled, makeRig, type Rig, type RigParts } from './rig.js';

const C = CHUNK_BYTES;
const GIB = 1024 * MIB;
const [DATA, HOLE] = [0, 3];

interface Forgetful extends Rig {
  readonly forgetful: ForgetfulDevice;
  /** What a read of `length` bytes at `offset` is told, as [length, flags]. */
  told(offset: number, length: number): [number, number][];
}

function forgetful(sizeBytes: number, parts: RigParts = {}): Forgetful {
  const device = new ForgetfulDevice({ sizeBytes });
  const rig = makeRig(device, parts);
  const told = (offset: number, length: number): [number, number][] =>
    rig.disks[0]
      .status(READ_CONTEXT, offset, length, 16)
      .map((run): [number, number] => [run.length, run.flags]);
  return { ...rig, forgetful: device, told };
}

async function cut(rig: Rig, target = 0): Promise<FrozenSet> {
  const frozen = await rig.volume.cut(target);
  assert.ok(frozen !== 'busy');
  return frozen;
}

test('a read is told the hole it begins in, and no more', async () => {
  const { forgetful: device, told } = forgetful(8 * C);
  for (const chunk of [2, 5]) device.writeNow(chunk * C, filled(C, 1));
  await device.sync();
  assert.deepEqual(told(0, 2 * C), [[2 * C, HOLE]]);
  assert.deepEqual(told(3 * C, C), [[C, HOLE]], 'short of the end of the hole');
  const parts = [
    [2 * C, HOLE],
    [6 * C, DATA],
  ];
  assert.deepEqual(told(0, 8 * C), parts);
  device.searches = 0;
  assert.deepEqual(told(2 * C, 6 * C), [[6 * C, DATA]], 'what begins as data is not searched on');
  assert.equal(device.searches, 1);
  assert.deepEqual(told(6 * C, 2 * C), [[2 * C, HOLE]]);
  assert.deepEqual(told(2 * C + 512, 512), [[512, DATA]]);
});

test('a hole is told only where nothing is dirty for any target', () => {
  const { volume, told } = forgetful(8 * C, { targets: 2 });
  volume.pending(1).mark(40, 40);
  assert.deepEqual(told(0, 8 * C), [[8 * C, DATA]]);
  assert.deepEqual(told(0, 2 * C), [[2 * C, HOLE]]);
  assert.deepEqual(told(2 * C, C), [[C, DATA]]);
  assert.deepEqual(told(3 * C, 5 * C), [[5 * C, HOLE]]);
});

test('without targets no mark lasts, so no hole is told', async () => {
  const rig = forgetful(8 * C, { targets: 0, spills: [] });
  rig.disks[0].write(0, filled(2 * C, 5));
  await rig.volume.checkpoint();
  assert.deepEqual(rig.told(0, 2 * C), [[2 * C, DATA]]);
  assert.deepEqual(rig.told(4 * C, 2 * C), [[2 * C, DATA]]);
  const [run] = rig.disks[0].status(BASE_ALLOCATION, 4 * C, C, 1);
  assert.equal(run?.flags, HOLE, 'base:allocation says what the file system says');
});

test('a hole is searched once, until the live maps are swapped', async () => {
  const rig = forgetful(64 * GIB);
  const { forgetful: device, told } = rig;
  for (const end of [40 * GIB, 50 * GIB]) device.writeNow(end, filled(C, 1));
  device.writeNow(63 * GIB, filled(C, 1));
  device.writeNow(63 * GIB + MIB, filled(C, 1));
  await device.sync();
  const askAll = (): void => {
    device.searches = 0;
    for (let at = 0; at < 1000; at += 1) assert.deepEqual(told(at * MIB, MIB), [[MIB, HOLE]]);
  };
  askAll();
  assert.equal(device.searches, 2);
  askAll();
  assert.equal(device.searches, 0);
  // A shorter hole elsewhere does not displace it.
  assert.deepEqual(told(63 * GIB + C, C), [[C, HOLE]]);
  askAll();
  assert.equal(device.searches, 0);

  // Another long one does, also where less of it is clean.
  rig.volume.pending(0).mark((41 * GIB) / BLOCK_BYTES, (41 * GIB) / BLOCK_BYTES);
  for (let at = 0; at < 256; at += 1) assert.deepEqual(told(40 * GIB + MIB, MIB), [[MIB, HOLE]]);
  assert.equal(device.searches, 2);
  askAll();
  assert.equal(device.searches, 2);
  askAll();

  rig.disks[1].write(MIB, filled(C, 1));
  assert.deepEqual(told(MIB, MIB), [[MIB, DATA]]);
  assert.deepEqual(told(2 * MIB, MIB), [[MIB, HOLE]]);
  assert.equal(device.searches, 0, 'asked for marks, each time');

  await rig.volume.checkpoint();
  assert.deepEqual(told(2 * MIB, MIB), [[MIB, HOLE]]);
  assert.equal(device.searches, 2);
});

test('what is dirty near by leaves a part of the hole to remember', () => {
  const rig = forgetful(64 * GIB);
  rig.volume.pending(0).mark(GIB / BLOCK_BYTES, GIB / BLOCK_BYTES);
  for (let at = 0; at < 256; at += 1) {
    assert.deepEqual(rig.told(at * MIB, MIB), [[MIB, HOLE]]);
  }
  assert.equal(rig.forgetful.searches, 2);
});

test('D1: a mark that is dropped takes no hole with it that was found before', async () => {
  const rig = forgetful(64 * C);
  rig.disks[0].write(10 * C, filled(C, 7));
  const frozen = await cut(rig);
  assert.deepEqual(rig.told(0, C), [[C, HOLE]], 'to the end of the disk, says the file system');
  await rig.volume.sync();
  await frozen.end('drop');
  assert.deepEqual(rig.told(10 * C, C), [[C, DATA]]);
});

test('a swap between two questions hides no write', async () => {
  const rig = forgetful(64 * C);
  assert.deepEqual(rig.told(0, C), [[C, HOLE]]);
  rig.disks[1].write(10 * C, filled(C, 7));
  const frozen = await cut(rig);
  await rig.volume.sync();
  await frozen.end('drop');
  assert.deepEqual(rig.told(10 * C, C), [[C, DATA]]);
});

test('what is overwritten during the search was no hole', async () => {
  const overwrite = (rig: Forgetful): void => void rig.disks[1].write(0, filled(C, 8));
  const andRound = (rig: Forgetful): void => {
    overwrite(rig);
    Atomics.add(rig.control, M.SWAPS, 1);
    rig.volume.core.liveMap().clearAll();
  };
  for (const meanwhile of [overwrite, andRound]) {
    const rig = forgetful(64 * C);
    rig.disks[0].write(0, filled(C, 7));
    const frozen = await cut(rig);
    await rig.volume.sync();
    await frozen.end('drop');
    rig.forgetful.meanwhile = () => meanwhile(rig);
    assert.deepEqual(rig.told(0, C), [[C, DATA]]);
  }
});

test('a mark that a failing round moves between two looks is seen', async () => {
  const { volume, forgetful: device } = forgetful(8 * C);
  const extents = new Extents(volume.core, device, ['b']);
  const told = (offset: number) => extents.status(READ_CONTEXT, offset, C, 1)[0]?.flags;
  const [slot] = volume.core.slots;
  const [pending, frozen] = slot?.maps ?? [];
  assert.ok(slot !== undefined && pending !== undefined && frozen !== undefined);
  Atomics.store(volume.core.control, slot.base + M.SLOT_FROZEN, 1);
  device.writeNow(2 * C, filled(C, 7));
  frozen.mark(32, 47);
  const { anyMarked } = pending;
  pending.anyMarked = (first, last) => {
    const found = anyMarked.call(pending, first, last);
    if (last >= 32) pending.merge(frozen);
    if (last >= 32) frozen.clearAll();
    return found;
  };
  assert.equal(told(0), HOLE);
  await device.sync();
  for (const map of [pending, frozen]) map.clearAll();
  assert.equal(told(2 * C), DATA);
});

/** What a guest, two threads and the rounds of two targets do, at random. */
class World {
  readonly rig = forgetful(SIZE_BYTES, { targets: 2 });
  readonly #random: Random;
  readonly #frozen: [Frozen | null, Frozen | null] = [null, null];
  holes = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  async step(): Promise<void> {
    const target = this.#random.below(2);
    const frozen = this.#frozen[target] ?? null;
    const choice = this.#random.below(40);
    if (choice < 6) this.#write();
    else if (choice < 7) await this.rig.disks[1].trim(...this.#range());
    else if (choice < 8) await this.rig.volume.checkpoint();
    else if (choice < 10) await this.#sync();
    else if (choice < 12) await this.#takeMarks(target);
    else if (choice < 15 && frozen === null) {
      this.#frozen[target] = { set: await cut(this.rig, target), flushed: false };
    } else if (choice < 15 && frozen !== null) {
      this.#frozen[target] = null;
      await frozen.set.end(frozen.flushed ? 'drop' : 'merge');
    } else this.#read();
  }

  /** As settle and a first copy do: what was marked before a flush and is folded. */
  async #takeMarks(target: number): Promise<void> {
    const { volume } = this.rig;
    const pending = volume.pending(target);
    const { swaps } = volume;
    await this.#sync();
    for (let chunk = 0; chunk < SIZE_BYTES / C; chunk += 1) {
      if (volume.swaps === swaps && this.#random.below(2) === 0) pending.clearChunk(chunk);
    }
  }

  async #sync(): Promise<void> {
    await this.rig.volume.sync();
    for (const frozen of this.#frozen) if (frozen !== null) frozen.flushed = true;
  }

  #range(): [number, number] {
    const offset = this.#random.below(SIZE_BYTES / BLOCK_BYTES) * BLOCK_BYTES;
    return [offset, Math.min(SIZE_BYTES - offset, (1 + this.#random.below(40)) * BLOCK_BYTES)];
  }

  #write(): void {
    const [offset] = this.#range();
    const disk = this.rig.disks[this.#random.below(2)];
    disk?.write(offset, filled(BLOCK_BYTES, 1 + this.#random.below(255)));
  }

  /** Told as a hole: each block was zeroes when the read came, or is now. */
  #read(): void {
    const [offset, length] = this.#range();
    const before = this.#content();
    this.rig.forgetful.meanwhile = () => {
      if (this.#random.below(3) === 0) this.#write();
    };
    const [first] = this.rig.told(offset, length);
    this.rig.forgetful.meanwhile = () => {};
    if (first?.[1] !== HOLE) return;
    this.holes += 1;
    const after = this.#content();
    for (let at = offset; at < offset + first[0]; at += BLOCK_BYTES) {
      assert.ok(before[at] === 0 || after[at] === 0, `${first[0]} bytes at ${offset}: ${at}`);
    }
  }

  #content(): Uint8Array {
    const content = new Uint8Array(SIZE_BYTES);
    assert.ok(this.rig.forgetful.readCached(0, content));
    return content;
  }
}

interface Frozen {
  readonly set: FrozenSet;
  flushed: boolean;
}

const SIZE_BYTES = 12 * C;

test('no history makes a hole of what was written', async (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  let holes = 0;
  for (let round = 0; round < 40; round += 1) {
    const world = new World(random);
    for (let step = 0; step < 120; step += 1) await world.step();
    holes += world.holes;
  }
  assert.ok(holes > 200, `${holes} holes were told`);
});
