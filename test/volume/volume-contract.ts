// The contract of Volume and TrackedDisk, run on every kind of device (STYLE 12).
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { type Random, seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  chunkLength,
  MIB,
} from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import * as M from '../../src/volume/memory.js';
import type { Spill } from '../../src/volume/spill.js';
import type { FrozenSet } from '../../src/volume/volume.js';
import { filled, makeRig, type Rig } from './rig.js';
import { CASES, chunksOf, cut, frozenBytes, ODD_BYTES, type RigOptions } from './volume-cases.js';

/** Null: skipped, with its reason. The spills, one a target, are empty and the contract's alone. */
export type MakeVolumeDevice = (
  t: TestContext,
  sizeBytes: number,
) => Promise<{ readonly device: Device; readonly spills: readonly Spill[] } | null>;

export const TARGETS = 2;

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_718);

export function describeVolumeContract(name: string, make: MakeVolumeDevice): void {
  const check = (title: string, body: (rig: Rig) => Promise<void>, options: RigOptions = {}) =>
    test(title, async (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const made = await make(t, ODD_BYTES);
      if (made === null) return;
      // A wait on shared memory does not keep the process alive.
      const alive = setInterval(() => {}, 1000);
      const spillBytes = options.spillBytes ?? 64 * MIB;
      const rig = makeRig(made.device, { targets: TARGETS, spills: made.spills, spillBytes });
      try {
        await body(rig);
        assert.equal(rig.control[M.GATE], 0, 'the gate is open');
      } finally {
        clearInterval(alive);
        await made.device.close();
      }
    });

  describe(`Volume contract: ${name}`, { concurrency: 1 }, () => {
    for (const [title, body, options] of CASES) check(title, body, options);
    check('writes of a MiB and more arrive whole', largeWrites);
    check(
      'D2: random writes, zeroes, TRIM, cuts, merges and releases agree with plain arrays',
      (rig) => randomRounds(rig, seededRandom(SEED)),
    );
  });
}

/** Two targets' rounds over random operations: frozen content, and the sum of committed rounds. */
async function randomRounds(rig: Rig, random: Random) {
  const model = new Uint8Array(ODD_BYTES);
  const copies = [new Uint8Array(ODD_BYTES), new Uint8Array(ODD_BYTES)];
  const refresh = () => rig.device.read(0, model); // TRIM may or may not punch
  await refresh();
  for (const copy of copies) copy.set(model);
  for (let round = 0; round < 12; round += 1) {
    for (let turn = 0; turn < 12; turn += 1) await randomOperation(rig, random);
    const target = random.below(2);
    await refresh();
    const frozen = await cut(rig, target);
    const expected = model.slice();
    const copy = copies[target] ?? model;
    const isMerged = random.below(4) === 0;
    for (const chunk of chunksOf(frozen)) {
      const operation = randomOperation(rig, random);
      const bytes = await frozenBytes(frozen, chunk);
      await operation;
      const from = chunk * CHUNK_BYTES;
      const wanted = expected.subarray(from, from + chunkLength(chunk, ODD_BYTES));
      assert.ok(bytes && Buffer.compare(bytes, wanted) === 0, `round ${round}, chunk ${chunk}`);
      if (!isMerged) copy.set(bytes, from);
      if (random.below(2) === 0) frozen.release(chunk);
    }
    if (isMerged) spoilFrozen(frozen, copy);
    else assert.equal(Buffer.compare(copy, expected), 0, `round ${round} is complete`);
    await frozen.end(isMerged ? 'merge' : 'drop');
  }
}

/** What a failed round gives back, its target lacks: a later round must bring it. */
function spoilFrozen(frozen: FrozenSet, copy: Uint8Array): void {
  for (const chunk of chunksOf(frozen)) {
    const mask = frozen.map.chunkMask(chunk);
    for (let bit = 0; bit < BLOCKS_PER_CHUNK; bit += 1) {
      const from = chunk * CHUNK_BYTES + bit * BLOCK_BYTES;
      if ((mask & (1 << bit)) !== 0) copy.fill(0xaa, from, from + BLOCK_BYTES);
    }
  }
}

async function randomOperation(rig: Rig, random: Random): Promise<void> {
  const disk = rig.disks[random.below(2) === 0 ? 0 : 1];
  const offset = random.below(ODD_BYTES);
  const length = Math.min(
    1 + random.below(random.below(8) === 0 ? 2 * MIB : 9000),
    ODD_BYTES - offset,
  );
  switch (random.below(6)) {
    case 0:
      await disk.zero(offset, length, random.below(2) === 0, random.below(4) === 0);
      return;
    case 1:
      return disk.trim(offset, length);
    default: {
      const writing = disk.write(offset, filled(length, 1 + random.below(255)));
      if (writing !== 'done') await writing;
    }
  }
}

async function largeWrites(rig: Rig) {
  const [disk] = rig.disks;
  const bytes = seededRandom(SEED).bytes(3 * MIB + 5);
  const writing = disk.write(MIB - 7, bytes);
  const copy = bytes.slice();
  if (writing !== 'done') bytes.fill(0); // the callee has copied
  await writing;
  const now = filled(copy.length, 0);
  await disk.read(MIB - 7, now);
  assert.equal(Buffer.compare(now, copy), 0);
}
