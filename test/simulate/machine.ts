// A machine of a simulated run: its files and its disk in a crash world, its wall clock, its boots.
// It outlives the daemons that run on it. A crash leaves what the class of loss says; a power
// failure is a new boot. What stands for a real fingerprint is the content of the disk.
import { digestOf } from '../../src/base/digest.js';
import type { Random } from '../../src/base/random.js';
import { hex, seededRandom } from '../../src/base/random.js';
import type { DiskAccess } from '../../src/daemon/machinery.js';
import type { OpenDisk } from '../../src/daemon/thread-messages.js';
import type { Device } from '../../src/disk/device.js';
import { DiskError } from '../../src/disk/device.js';
import type { Fingerprints } from '../../src/disk/fingerprints.js';
import { growDisk } from '../crash/nodes.js';
import { CrashWorld, type LossClass } from '../world/memory-files.js';
import { openWorldDevice } from '../world/world-device.js';
import { IO_MS_MAX, type Life, type Loop } from './loop.js';
import type { Sectors } from './sectors.js';

export const DISK = '/disk';
export const STATEDIR = '/state';
export const RESOURCE = 'vm1';
export const STATE = `${STATEDIR}/${RESOURCE}`;

/** What a machine is like. */
export interface Hardware {
  /** Longest time of an operation of its files and its disk, milliseconds. */
  readonly ioMsMax: number;
  /** ... and of a read of its disk for a target; default: as any other. */
  readonly asideMsMax?: number;
  /** Nothing about its disk tells that somebody wrote it, as of a block device after a boot. */
  readonly blind: boolean;
  /** Whether reads of its disk find the page cache filled; a seed: as a coin says. */
  readonly cached: 'always' | 'never' | number;
}

export const PLAIN: Hardware = { ioMsMax: IO_MS_MAX, blind: false, cached: 'always' };

const START_WALL_MS = Date.UTC(2026, 10, 20);

export class Machine {
  readonly name: string;
  readonly hardware: Hardware;
  world: CrashWorld;
  /** Of the files of the world in use. */
  life: Life;
  boots = 0;
  /** Blocks that others wrote while it was no primary that could know. */
  readonly untracked = new Set<number>();
  /** What its guests may find there; null: it is no primary's. */
  view: Sectors | null = null;
  /** Targets that its configuration leaves out for a time. */
  readonly leftOut = new Set<string>();
  /** As it was some time ago. */
  saved: CrashWorld | null = null;
  /** Which disk this is: another one after somebody put another image in its place. */
  diskId = 0;
  /** How far the wall clock is ahead of the time of the run. */
  skewMs = START_WALL_MS;
  readonly #loop: Loop;

  /** Called at every step of its files, before it happens. */
  stepped: (() => void) | null = null;
  /** True: a crash now would be the second of two failures at once, which nothing could survive. */
  spared: (() => boolean) | null = null;

  constructor(
    name: string,
    loop: Loop,
    life: Life,
    disk: Uint8Array | null,
    hardware: Hardware = PLAIN,
  ) {
    this.name = name;
    this.hardware = hardware;
    this.#loop = loop;
    this.life = life;
    this.world = new CrashWorld();
    this.next(life);
    this.world.plant(`${STATEDIR}/.made`, 0);
    if (disk !== null) this.world.plant(DISK, disk);
  }

  get wallMs(): number {
    return Math.floor(this.#loop.nowMs + this.skewMs);
  }

  /** The disk as it reads now; null: there is none. */
  get diskBytes(): Uint8Array | null {
    return this.world.peek(DISK);
  }

  /** What a crash of this moment leaves, as a machine of its own: this one is not touched. */
  afterCrash(loss: LossClass, random: Random, life: Life): Machine {
    const left = new Machine(this.name, this.#loop, life, null, this.hardware);
    // What a dead process wrote is in the page cache: a power failure may still take it.
    const killed = loss === 'none';
    left.world = killed ? this.world.afterKill() : this.world.afterCrash(loss, random);
    left.next(life);
    left.boots = this.boots + (killed ? 0 : 1);
    left.skewMs = this.skewMs;
    left.diskId = this.diskId;
    return left;
  }

  /** ... and this one goes on from there. */
  crash(loss: LossClass, random: Random, life: Life): void {
    const { world, boots } = this.afterCrash(loss, random, life);
    this.world.stop('crash');
    this.boots = boots;
    this.replace(world, life);
  }

  /** The next daemon starts on what the one before left in good order. */
  next(life: Life): void {
    this.life = life;
    this.world.takes(() => this.#loop.io(life, this.hardware.ioMsMax));
    this.world.onStep = () => this.stepped?.();
    this.world.spares = () => this.spared?.() === true;
  }

  /** Nobody runs here: files are put in the place of others, by an administrator. */
  replace(world: CrashWorld, life: Life): void {
    this.world = world;
    this.next(life);
  }

  /** Opens the disk for a role; error DISK_MISSING. `makes`: a new one where there is none. */
  async openDisk(sizeBytes: number | null, makes: boolean): Promise<OpenDisk> {
    const { world } = this;
    const has = world.sizeNow(DISK);
    if (has === null) {
      if (!makes || sizeBytes === null) {
        throw new DiskError({ code: 'DISK_MISSING', path: DISK });
      }
      world.plant(DISK, sizeBytes);
    } else if (sizeBytes !== null && has < sizeBytes) await growDisk(world, sizeBytes, 0);
    const size = sizeBytes ?? has ?? 0;
    const syncMemory = new SharedArrayBuffer(64);
    return { fd: -1, path: DISK, kind: 'file', sizeBytes: size, syncMemory };
  }

  /** `wrap`: what tests look at of what goes to the disk. */
  access(wrap: (device: Device) => Device): DiskAccess {
    const bootId = `boot-${this.boots}`;
    const { world, diskId } = this;
    return {
      bootId,
      deviceOf: ({ sizeBytes }) => {
        const { cached: found } = this.hardware;
        const cached = typeof found === 'number' ? seededRandom(found) : found;
        return wrap(this.#late(openWorldDevice(world, DISK, { sizeBytes, cached })));
      },
      fingerprintsOf: () => {
        const prints = contentPrints(world, bootId, diskId);
        return this.hardware.blind ? blindly(prints) : prints;
      },
    };
  }

  /** What a read has found is handed out some time later. */
  #late(device: Device): Device {
    const { life } = this;
    const { ioMsMax, asideMsMax = ioMsMax } = this.hardware;
    return new Proxy(device, {
      get: (real, name) => {
        const value: unknown = Reflect.get(real, name, real);
        if (typeof value !== 'function') return value;
        const bound: (...args: unknown[]) => unknown = value.bind(real);
        if (name !== 'read' && name !== 'readAside') return bound;
        return async (...args: unknown[]) => {
          await bound(...args);
          await this.#loop.io(life, name === 'read' ? ioMsMax : asideMsMax);
        };
      },
    });
  }
}

const blindly = (prints: Fingerprints): Fingerprints => ({
  ...prints,
  differs: (before, now, look) => {
    const differs = prints.differs(before, now, look);
    return differs === 'content' ? null : differs;
  },
});

const contentPrints = (world: CrashWorld, bootId: string, disk: number): Fingerprints => ({
  bootId,
  now: () =>
    world.soon(() => {
      world.alive('fingerprint');
      const bytes = world.peek(DISK) ?? new Uint8Array(0);
      return { disk, size: bytes.length, content: hex(digestOf(bytes)) };
    }),
  differs: (before, now, look) => {
    if (before['disk'] !== now['disk']) return 'inode';
    const { size, growsTo } = before;
    if (typeof size === 'number' && size !== now['size'] && now['size'] === growsTo) {
      const begins = (world.peek(DISK) ?? new Uint8Array(0)).subarray(0, size);
      return hex(digestOf(begins)) === before['content'] ? null : 'size';
    }
    if (size !== now['size']) return 'size';
    return look === 'untouched' && before['content'] !== now['content'] ? 'content' : null;
  },
});
