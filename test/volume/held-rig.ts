// A tracked disk with `metaflush on` over the intent file of a crash world, each of whose flushes
// ends when the test says so; for first touches (H10). Offsets are bytes.
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/random.js';
import { type Deferred, deferred } from '../../src/base/sync.js';
import { MIB } from '../../src/base/units.js';
import { intentPageOffset } from '../../src/format/intent-file.js';
import { createIntentFile, IntentOwner, intentWriter } from '../../src/volume/intent.js';
import { MemoryDevice } from '../disk/memory-device.js';
import { FakeClock } from '../world/fake-clock.js';
import { CrashWorld } from '../world/memory-files.js';
import { makeRig, type Rig } from './rig.js';

export const PATH = '/state/intent.map';
export const EXTENT_BYTES = MIB;
const SIZE_BYTES = 8 * MIB;
const header = {
  resource: seededRandom(1).bytes(16),
  sizeBytes: SIZE_BYTES,
  extentBytes: EXTENT_BYTES,
};

export interface Held extends Rig {
  readonly world: CrashWorld;
  readonly clock: FakeClock;
  readonly owner: IntentOwner;
  readonly onDisk: MemoryDevice;
  /** One a flush that has begun; it ends when the test says so. */
  readonly flushes: Deferred<void>[];
  /** Bits of the file as a power failure now would leave them. */
  readonly onMedium: () => number;
}

/** `held`: false: flushes end by themselves. */
export async function made(held = true): Promise<Held> {
  const world = new CrashWorld();
  await world.makeDirectory('/state');
  await createIntentFile(world, PATH, header);
  world.settle();
  const handle = await world.open(PATH, 'write');
  const onDisk = new MemoryDevice({ sizeBytes: SIZE_BYTES });
  const clock = new FakeClock();
  const flushes: Deferred<void>[] = [];
  const rig = makeRig(onDisk, {
    metaflush: true,
    extentBytes: EXTENT_BYTES,
    clock,
    writeIntent: intentWriter(handle),
    flushIntent: async () => {
      const flush = deferred<void>();
      flushes.push(flush);
      const synced = handle.sync();
      if (held) await flush.promise;
      await synced;
    },
  });
  const owner = new IntentOwner(rig.volume.core, handle, 0);
  assert.equal(await owner.load(header), 'whole');
  const onMedium = (): number => {
    const left = world.afterCrash('all', seededRandom(1)).peek(PATH);
    return left?.[intentPageOffset(0)] ?? -1;
  };
  return { ...rig, world, clock, owner, onDisk, flushes, onMedium };
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Runs with a timer, since a wait on shared memory keeps no process alive. */
export const alive = (body: () => Promise<void>) => async (): Promise<void> => {
  const timer = setInterval(() => {}, 1000);
  await body().finally(() => clearInterval(timer));
};
