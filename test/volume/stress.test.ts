// Real threads: two data threads write versioned blocks through TrackedDisk to one file, this
// thread cuts back to back for two targets, reads every frozen chunk, releases, fails and merges.
// After each committed round the target's copy, built from what was read, satisfies H5 for every
// block; at the end it is the disk. Bounded by time and by versions; the seed fixes what is drawn,
// not how the threads run.
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { systemClock } from '../../src/base/clock.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { Core } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';
import { fileSpill } from '../../src/volume/spill.js';
import { type FrozenSet, Volume } from '../../src/volume/volume.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';
import { scratch } from '../real.js';
import { allocateLog, BLOCKS, StressLog, versionIn } from './stress-log.js';
import type { WriterData } from './stress-writer.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_719);
const RUN_MS = 4000;
const ROUNDS_MAX = 3000;
const THREADS = 2;
const READS_AHEAD = 8;
/** Of each target: little enough that rounds fail now and then (H17). */
const SPILL_RECORDS = 40;

interface Tally {
  committed: number;
  merged: number;
  failed: number;
  busy: number;
  chunks: number;
}

async function openVolume(t: TestContext) {
  const folder = scratch(t);
  const path = join(folder, 'disk.raw');
  const spillPaths = [0, 1].map((slot) => join(folder, `spill${slot}`));
  const sizeBytes = BLOCKS * BLOCK_BYTES;
  await createSparseFile(path, sizeBytes);
  const fd = openSync(path, 'r+');
  const device = openFileDevice(fd, path, 'file', sizeBytes, { ownsFd: true });
  const files = nodeFiles(() => {});
  const handles = await Promise.all(spillPaths.map((one) => files.open(one, 'truncate')));
  const shape = { sizeBytes, extentBytes: MIB, targets: spillPaths.length, metaflush: true };
  const spillBytes = SPILL_RECORDS * CHUNK_BYTES;
  const memory = M.allocateVolume({ ...shape, spillBytes });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const volume = new Volume(new Core(memory, THREADS), {
    device,
    spills: handles.map(fileSpill),
    waiter: atomicsWaiter(turn),
    clock: systemClock,
    onSuspect: async () => {},
  });
  const close = async (): Promise<void> => {
    await device.close();
    for (const handle of handles) await handle.close();
  };
  return { fd, path, spillPaths, memory, volume, device, close };
}

/** One target: its copy and the rounds that make it. */
class StressTarget {
  readonly copy = new Uint8Array(BLOCKS * BLOCK_BYTES);
  readonly #volume: Volume;
  readonly #index: number;
  readonly #log: StressLog;
  readonly #random: Random;
  readonly #tally: Tally;

  constructor(volume: Volume, index: number, log: StressLog, random: Random, tally: Tally) {
    this.#volume = volume;
    this.#index = index;
    this.#log = log;
    this.#random = random;
    this.#tally = tally;
  }

  /** `mayFail`: not the last round. */
  async round(mayFail: boolean): Promise<void> {
    const began = this.#log.stamp();
    const frozen = await this.#volume.cut(this.#index);
    const ended = this.#log.stamp();
    if (frozen === 'busy') {
      this.#tally.busy += 1;
      return;
    }
    const abandon = mayFail && this.#random.below(6) === 0;
    const staged = await this.#readAll(frozen, abandon);
    if (staged === null || abandon || frozen.failed) {
      this.#tally.failed += frozen.failed ? 1 : 0;
      this.#tally.merged += 1;
      await frozen.end('merge');
      return;
    }
    await frozen.end('drop');
    for (const [chunk, bytes] of staged) this.copy.set(bytes, chunk * CHUNK_BYTES);
    this.#tally.committed += 1;
    this.#tally.chunks += staged.size;
    this.#check(began, ended);
  }

  /** All frozen chunks, several at once; null when the round has failed. */
  async #readAll(frozen: FrozenSet, abandon: boolean): Promise<Map<number, Uint8Array> | null> {
    const staged = new Map<number, Uint8Array>();
    let [next, failed] = [frozen.map.nextChunk(0), false];
    const reader = async (): Promise<void> => {
      while (next >= 0 && !failed) {
        const chunk = next;
        next = frozen.map.nextChunk(chunk + 1);
        const bytes = new Uint8Array(CHUNK_BYTES);
        if ((await frozen.read(chunk, bytes)) === 'failed') failed = true;
        staged.set(chunk, bytes);
        if (!failed && this.#random.below(2) === 0) frozen.release(chunk);
        if (abandon && this.#random.below(8) === 0) next = -1;
      }
    };
    await Promise.all(Array.from({ length: READS_AHEAD }, reader));
    return failed ? null : staged;
  }

  #check(began: number, ended: number): void {
    for (let block = 0; block < BLOCKS; block += 1) {
      const at = block * BLOCK_BYTES;
      const version = versionIn(this.copy.subarray(at, at + BLOCK_BYTES), block);
      assert.notEqual(version, null, `block ${block} of target ${this.#index} is torn`);
      const why = this.#log.wrong(block, version ?? 0, began, ended);
      assert.equal(why, null, `H5: block ${block} of target ${this.#index}: ${why}`);
    }
  }
}

test('D2, H5: two data threads and back to back cuts of two targets', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const made = await openVolume(t);
  const log = allocateLog();
  const writers = Array.from({ length: THREADS }, (_, thread) => {
    const { fd, path, spillPaths, memory } = made;
    const workerData: WriterData = {
      thread,
      seed: SEED + thread,
      fd,
      path,
      spillPaths,
      memory,
      log,
    };
    return new Worker(new URL('./stress-writer.js', import.meta.url), { workerData });
  });
  t.after(() => Promise.all(writers.map((writer) => writer.terminate())));
  const answers = writers.map(
    (writer) =>
      new Promise<number>((resolve, reject) => {
        writer.once('message', resolve);
        writer.once('error', reject);
      }),
  );
  const versions = new StressLog(log);
  const tally: Tally = { committed: 0, merged: 0, failed: 0, busy: 0, chunks: 0 };
  const targets = [0, 1].map((index) => {
    const random = seededRandom(SEED + 100 + index);
    return new StressTarget(made.volume, index, versions, random, tally);
  });
  const end = systemClock.monotonicMs() + RUN_MS;
  const alive = setInterval(() => {}, 1000);
  try {
    const rounds = async (target: StressTarget): Promise<void> => {
      while (systemClock.monotonicMs() < end && tally.committed < ROUNDS_MAX) {
        await target.round(true);
      }
    };
    await Promise.all(targets.map(rounds));
    versions.stop();
    const writes = await Promise.all(answers);
    const disk = new Uint8Array(BLOCKS * BLOCK_BYTES);
    await made.device.read(0, disk);
    for (const target of targets) {
      await target.round(false);
      assert.equal(Buffer.compare(target.copy, disk), 0, 'the copy is the disk');
    }
    const { control } = made.volume.core;
    const preserved = Atomics.load(control, M.PRESERVED);
    t.diagnostic(`${JSON.stringify(tally)}, writes ${writes}, preserved ${preserved}`);
    t.diagnostic(`gate held at most ${made.volume.holds.maxMicros} us`);
    assert.ok(tally.committed > 10 && preserved > 100 && Math.min(...writes) > 100);
  } finally {
    versions.stop();
    clearInterval(alive);
    await Promise.allSettled(answers);
    await made.close();
  }
});
