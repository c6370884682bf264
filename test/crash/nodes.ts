// The two ends of a pair, each in a CrashWorld of its own: a primary (openPrimary, a guest's
// TrackedDisk in the same thread) and a replica (Replica), run by the code of src alone.
// Nothing here decides anything. `Knobs` replace handed-in parts, for the tests with teeth.
// Sizes are bytes.
import { assert } from '../../src/base/assert.js';
import type { Clock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import type { Files } from '../../src/base/files.js';
import { type Log, silentLog } from '../../src/base/log.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { freshState } from '../../src/care/create.js';
import { promoted } from '../../src/care/promote.js';
import { retainLast } from '../../src/config/retain.js';
import type { Device } from '../../src/disk/device.js';
import type { Fingerprints } from '../../src/disk/fingerprints.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import type { ResourceState } from '../../src/format/resource-state.js';
import type { ReplicaParts } from '../../src/receive/parts.js';
import { Replica } from '../../src/receive/replica.js';
import type { RoundParts } from '../../src/round/parts.js';
import { openPrimary, type Primary } from '../../src/round/primary.js';
import type { Target } from '../../src/target/target.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { Core } from '../../src/volume/core.js';
import { intentWriter } from '../../src/volume/intent.js';
import { fileSpill } from '../../src/volume/spill.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import type { Waiter } from '../../src/volume/waiter.js';
import { newWriteCounters } from '../../src/volume/write-sections.js';
import type { CrashWorld } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';

export const DISK = '/disk';
export const STATE = '/state/vm1';
export const TARGET = 'b';
const WAITS_MAX = 100_000;

export interface Shape {
  readonly sizeBytes: number;
  readonly extentBytes: number;
  readonly keepdirty: number;
  readonly spillBytes: number;
  readonly retain: number;
  readonly keeps?: Pick<ReplicaParts['retain'], 'rule'>;
  /** Default off. */
  readonly metaflush?: boolean;
  /** Of the primary; default one, TARGET. */
  readonly targets?: readonly string[];
}

/** What a test replaces; each gets the real part. */
export interface Knobs {
  readonly primaryFiles?: (files: Files) => Files;
  readonly replicaFiles?: (files: Files) => Files;
  readonly primaryDevice?: (device: Device) => Device;
  readonly replicaDevice?: (device: Device) => Device;
  /** Called after recovery, before a guest writes. */
  readonly primary?: (node: PrimaryNode) => RoundParts;
  readonly prints?: (prints: Fingerprints) => Fingerprints;
  /** What the sender talks to instead of the link. */
  readonly link?: (link: Target, node: PrimaryNode) => Target;
  /** Rounds go on over lost links (D3). */
  readonly resumes?: boolean;
  readonly log?: Log;
}

/** What both ends take from outside. */
export interface Setting {
  readonly shape: Shape;
  readonly clock: Clock;
  readonly random: Random;
  readonly knobs: Knobs;
}

/** Makes the disk of a world longer, as truncate(2) of a file does, or an LV whose new extents have
 * been something else before: every byte is `value`. */
export async function growDisk(world: CrashWorld, sizeBytes: number, value: number): Promise<void> {
  const before = world.sizeNow(DISK) ?? 0;
  const handle = await world.open(DISK, 'write');
  await handle.truncate(sizeBytes);
  if (value !== 0) await handle.write(new Uint8Array(sizeBytes - before).fill(value), before);
  await handle.sync();
  await handle.close();
}

/** Waiting in one thread: looks again every turn of the world; a stopped world waits for ever. */
export const worldWaiter = (world: CrashWorld): Waiter => ({
  wait: async (control, { word, value }) => {
    for (let looks = 0; Atomics.load(control, word) === value; looks += 1) {
      assert(looks < WAITS_MAX, 'what is waited for comes');
      await world.soon(() => world.alive('wait'));
    }
    return 'changed';
  },
  turn: () => world.soon(() => world.alive('turn')),
});

/** The content stands for what a real fingerprint looks at (times, counters). */
const worldPrints = (world: CrashWorld, bootId: string): Fingerprints => ({
  bootId,
  now: () =>
    world.soon(() => {
      world.alive('fingerprint');
      return { size: world.sizeNow(DISK) ?? 0, content: world.printOf(DISK) ?? '' };
    }),
  differs: (before, now, look) => {
    if (before['size'] !== now['size']) return 'size';
    return look === 'untouched' && before['content'] !== now['content'] ? 'content' : null;
  },
});

function printsOf(world: CrashWorld, bootId: string, knobs: Knobs): Fingerprints {
  const prints = worldPrints(world, bootId);
  return knobs.prints?.(prints) ?? prints;
}

/** The state of a resource as createResource leaves it; made when a crash (or nobody) left none. */
async function stateFile(files: Files, shape: Shape, sizeBytes: number): Promise<ResourceFile> {
  try {
    return await ResourceFile.load(files, STATE);
  } catch (error) {
    if (codeOf(error) !== 'STATE_MISSING') throw error;
  }
  const { extentBytes, keepdirty } = shape;
  await files.makeDirectory(STATE);
  const state: ResourceState = { ...freshState('vm1'), sizeBytes, extentBytes, keepdirty };
  const file = await ResourceFile.create(files, STATE, state);
  await files.syncDirectory('/state');
  return file;
}

export class PrimaryNode {
  readonly world: CrashWorld;
  readonly resourceFile: ResourceFile;
  readonly primary: Primary;
  /** What the guest writes to. */
  readonly disk: TrackedDisk;
  readonly parts: RoundParts;
  #swaps = 0;
  #image: Uint8Array;

  private constructor(
    world: CrashWorld,
    resourceFile: ResourceFile,
    primary: Primary,
    disk: TrackedDisk,
    knobs: Knobs,
  ) {
    this.world = world;
    this.resourceFile = resourceFile;
    this.primary = primary;
    this.disk = disk;
    this.#image = this.bytes();
    this.parts = knobs.primary?.(this) ?? this.round();
  }

  /** Opens the primary by the real recovery code, after making it where there is none. */
  static async open(world: CrashWorld, setting: Setting, bootId: string): Promise<PrimaryNode> {
    const { shape, clock, random, knobs } = setting;
    const files = knobs.primaryFiles?.(world) ?? world;
    const resourceFile = await stateFile(files, shape, shape.sizeBytes);
    if (resourceFile.state.role === 'init') {
      await resourceFile.update((state) => promoted(state, 'a', random));
    }
    const coin = seededRandom(shape.sizeBytes);
    const real = openWorldDevice(world, DISK, { cached: coin });
    let node: PrimaryNode | null = null;
    const watched = watch(knobs.primaryDevice?.(real) ?? real, () => node?.noteCut());
    const waiter = worldWaiter(world);
    const primary = await openPrimary({
      files,
      resourceFile,
      device: watched,
      fingerprints: printsOf(world, bootId, knobs),
      compute: inlineCompute(packRaw),
      waiter,
      clock,
      random,
      log: knobs.log ?? silentLog,
      spillBytes: shape.spillBytes,
      metaflush: shape.metaflush ?? false,
      targets: shape.targets ?? [TARGET],
    });
    const spills = await Promise.all(primary.spillPaths.map((path) => files.open(path, 'write')));
    const intent = await files.open(primary.intentPath, 'write');
    const disk = new TrackedDisk(new Core(primary.memory, 0), {
      device: watched,
      targets: shape.targets ?? [TARGET],
      spills: spills.map(fileSpill),
      writeIntent: intentWriter(intent),
      flushIntent: () => intent.sync(),
      waiter,
      nowMs: () => clock.monotonicMs(),
      counters: newWriteCounters(),
      repair: null,
      onTrouble: () => {},
    });
    node = new PrimaryNode(world, resourceFile, primary, disk, knobs);
    return node;
  }

  round(slot = 0): RoundParts {
    const round = this.primary.rounds[slot];
    assert(round !== undefined, 'there is such a target');
    return round;
  }

  /** The disk as a guest reads it; the file may be longer (H14). */
  bytes(): Uint8Array {
    const { sizeBytes } = this.resourceFile.state;
    return (this.world.peek(DISK) ?? new Uint8Array(0)).subarray(0, sizeBytes);
  }

  /** Called before every change of the disk: a cut since the last one saw what is there now. */
  noteCut(): void {
    const { swaps } = this.primary.volume;
    if (swaps === this.#swaps) return;
    this.#swaps = swaps;
    this.#image = this.bytes();
  }

  /** The disk as of the last cut or checkpoint (D2, exact: no section straddles one). */
  imageAtCut(): Uint8Array {
    this.noteCut();
    return this.#image;
  }
}

const CHANGES: ReadonlySet<string | symbol> = new Set(['writeNow', 'write', 'zeroNow', 'punchNow']);

/** Tells of each change of the disk just before it happens. */
function watch(device: Device, before: () => void): Device {
  return new Proxy(device, {
    get(real, name) {
      if (CHANGES.has(name)) before();
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
}

/** A replica that is not open yet. */
export function replicaOver(
  world: CrashWorld,
  resourceFile: ResourceFile,
  { shape, clock, knobs }: Setting,
  bootId: string,
): Replica {
  const files = knobs.replicaFiles?.(world) ?? world;
  return new Replica({
    node: 'b',
    files,
    resourceFile,
    openDevice: async (sizeBytes) => {
      const has = world.sizeNow(DISK);
      if (has === null) world.plant(DISK, sizeBytes);
      else if (has < sizeBytes) await growDisk(world, sizeBytes, 5);
      const device = openWorldDevice(world, DISK);
      return knobs.replicaDevice?.(device) ?? device;
    },
    fingerprints: printsOf(world, bootId, knobs),
    compute: inlineCompute(packRaw),
    pack: packRaw,
    retain: { rule: retainLast(shape.retain), timezone: 'UTC', ...shape.keeps },
    clock,
    log: knobs.log ?? silentLog,
  });
}

export class ReplicaNode {
  readonly world: CrashWorld;
  readonly resourceFile: ResourceFile;
  readonly replica: Replica;

  private constructor(world: CrashWorld, resourceFile: ResourceFile, replica: Replica) {
    this.world = world;
    this.resourceFile = resourceFile;
    this.replica = replica;
  }

  /** Opens the replica by the real recovery code, after making it where there is none. */
  static async open(world: CrashWorld, setting: Setting, bootId: string): Promise<ReplicaNode> {
    const files = setting.knobs.replicaFiles?.(world) ?? world;
    const resourceFile = await stateFile(files, setting.shape, 0);
    if (resourceFile.state.role === 'init') {
      await resourceFile.update((state) => ({ ...state, role: 'secondary' }));
    }
    const replica = replicaOver(world, resourceFile, setting, bootId);
    await replica.open();
    return new ReplicaNode(world, resourceFile, replica);
  }

  /** The raw disk, applied as far as it is; the file may be longer (H14). */
  bytes(): Uint8Array {
    const { sizeBytes } = this.resourceFile.state;
    const bytes = this.world.peek(DISK) ?? new Uint8Array(0);
    return sizeBytes === 0 ? bytes : bytes.subarray(0, sizeBytes);
  }
}
