// The guests' side of a simulated primary: data threads as daemon/data-thread.ts opens them, and
// some whose write sections run as generators with other work between any two accesses to
// shared state (DESIGN.md §5), which real threads do to each other all the time.

import { assert } from '../../src/base/assert.js';
import type { FileHandle, Files } from '../../src/base/files.js';
import type { Random } from '../../src/base/random.js';
import { isPromise, Mutex } from '../../src/base/sync.js';
import { BLOCK_BYTES, CHUNK_BYTES, chunkLength } from '../../src/base/units.js';
import type { ServedVolume, Trouble } from '../../src/daemon/thread-messages.js';
import type { Device } from '../../src/disk/device.js';
import {
  type Blocked,
  type Claim,
  Core,
  preserve,
  type Steps,
  section,
} from '../../src/volume/core.js';
import { confirmIntent, touchIntent } from '../../src/volume/first-touch.js';
import { intentWriter } from '../../src/volume/intent.js';
import type { RepairParts } from '../../src/volume/repair.js';
import { fileSpill, noteSpilled, type Spill } from '../../src/volume/spill.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import type { Waiter } from '../../src/volume/waiter.js';
import { newWriteCounters } from '../../src/volume/write-sections.js';

export interface GuestDisksParts {
  readonly volume: ServedVolume;
  readonly files: Files;
  readonly device: () => Device;
  readonly waiter: Waiter;
  /** Other work goes on. */
  readonly turn: () => Promise<void>;
  readonly nowMs: () => number;
  readonly random: Random;
  readonly repair: RepairParts['repair'];
  readonly onTrouble: (what: Trouble, error: unknown) => void;
}

/** Data threads of a primary; the first ones are stepped. */
const THREADS = 4;
const STEPPED = 2;

export class GuestDisks {
  readonly volume: ServedVolume;
  readonly disks: readonly TrackedDisk[];
  readonly stepped: readonly SteppedThread[];
  readonly #handles: readonly FileHandle[];
  readonly #devices: readonly Device[];
  readonly #turn: () => Promise<void>;
  #busy = 0;
  #closing = false;

  private constructor(
    volume: ServedVolume,
    disks: readonly TrackedDisk[],
    stepped: readonly SteppedThread[],
    handles: readonly FileHandle[],
    devices: readonly Device[],
    turn: () => Promise<void>,
  ) {
    this.volume = volume;
    this.disks = disks;
    this.stepped = stepped;
    this.#handles = handles;
    this.#devices = devices;
    this.#turn = turn;
  }

  static async open(parts: GuestDisksParts): Promise<GuestDisks> {
    const { volume, files, waiter, nowMs, repair, onTrouble } = parts;
    const { memory, targets } = volume;
    const handles: FileHandle[] = [];
    const devices: Device[] = [];
    const open = async (path: string): Promise<FileHandle> => {
      const handle = await files.open(path, 'write');
      handles.push(handle);
      return handle;
    };
    const disks: TrackedDisk[] = [];
    const stepped: SteppedThread[] = [];
    for (let thread = 0; thread < THREADS; thread += 1) {
      const device = parts.device();
      devices.push(device);
      // Threads open them beside each other, and beside what the round thread begins with.
      const [intent, ...kept] = await Promise.all(
        [volume.intentPath, ...volume.spillPaths].map(open),
      );
      assert(intent !== undefined, 'the first one is the intent map');
      const spills: Spill[] = kept.map(fileSpill);
      const core = new Core(memory, thread);
      const writing = {
        device,
        spills,
        writeIntent: intentWriter(intent),
        flushIntent: () => intent.sync(),
        waiter,
        nowMs,
        counters: newWriteCounters(),
        onTrouble,
      };
      const { turn, random } = parts;
      if (thread < STEPPED) stepped.push(new SteppedThread(core, { ...writing, turn, random }));
      else disks.push(new TrackedDisk(core, { ...writing, repair, targets }));
    }
    return new GuestDisks(volume, disks, stepped, handles, devices, parts.turn);
  }

  /** True while guests may send requests. */
  get open(): boolean {
    return !this.#closing;
  }

  /** A request of a guest; those under way are waited for when the guests are ended. */
  async request<T>(work: () => Promise<T>): Promise<T> {
    this.#busy += 1;
    try {
      return await work();
    } finally {
      this.#busy -= 1;
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    while (this.#busy > 0) await this.#turn();
    for (const handle of this.#handles) await handle.close();
    for (const device of this.#devices) await device.close();
  }
}

interface SteppedParts {
  readonly device: Device;
  readonly spills: readonly Spill[];
  readonly writeIntent: (page: number, bytes: Uint8Array) => void;
  readonly flushIntent: () => Promise<void>;
  readonly waiter: Waiter;
  readonly onTrouble: (what: Trouble, error: unknown) => void;
  readonly turn: () => Promise<void>;
  readonly random: Random;
}

/** One in so many steps lets others run; drawn for each write, so that long runs are as likely. */
const SWITCH_ONE_IN_MAX = 12;

/** The loop of WriteSections.later with its generators stepped. Sections of other writes may come
 * between two of a write, never within one: a thread does one thing at a time. */
export class SteppedThread {
  readonly parts: SteppedParts;
  readonly #core: Core;
  readonly #one = new Mutex();

  constructor(core: Core, parts: SteppedParts) {
    this.#core = core;
    this.parts = parts;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const { device } = this.parts;
    const io = (): void => device.writeNow(offset, bytes);
    const oneIn = 1 + this.parts.random.below(SWITCH_ONE_IN_MAX);
    const run = <T>(steps: Steps<T>): Promise<T> => this.#run(steps, oneIn);
    const writeIntent = (page: number, copy: Uint8Array): void => {
      try {
        this.parts.writeIntent(page, copy);
      } catch (error) {
        this.parts.onTrouble('intent', error);
      }
    };
    for (;;) {
      const blocked = await run(section(this.#core, offset, bytes.length, writeIntent, io));
      if (blocked === null) return;
      await this.#unblock(blocked, run, writeIntent);
    }
  }

  async #unblock(
    blocked: Blocked,
    run: <T>(steps: Steps<T>) => Promise<T>,
    writeIntent: (page: number, bytes: Uint8Array) => void,
  ): Promise<void> {
    const { waiter } = this.parts;
    if (blocked.why === 'intent-busy') await waiter.turn();
    else if (blocked.why === 'first-touch') {
      const clears = await run(touchIntent(this.#core, blocked.extents, writeIntent));
      if (clears === null) return waiter.turn();
      try {
        await this.parts.flushIntent();
      } catch (error) {
        this.parts.onTrouble('intent', error);
      }
      while ((await run(confirmIntent(this.#core, blocked.extents, clears))) === 'busy') {
        await waiter.turn();
      }
    } else if (blocked.why === 'closed') await waiter.turn();
    else if (blocked.claims.length === 0) await waiter.turn();
    for (const claim of blocked.claims) await this.#preserve(claim, run);
  }

  async #preserve(claim: Claim, run: <T>(steps: Steps<T>) => Promise<T>): Promise<void> {
    const { device, spills, onTrouble } = this.parts;
    const old = new Uint8Array(chunkLength(claim.chunk, this.#core.memory.sizeBytes));
    // In pieces, with others between: a read of another thread's disk may be torn.
    const readable = await this.#readPieces(device, claim.chunk * CHUNK_BYTES, old);
    const append = (slot: number, record: number): void => {
      spills[slot]?.writeNow(record, old);
      const memory = this.#core.memory.slots[slot];
      if (memory !== undefined) noteSpilled(memory, record, old);
    };
    const failure = await run(preserve(this.#core, claim, readable ? append : null));
    if (failure !== null) onTrouble('preserve', failure);
  }

  async #readPieces(device: Device, offset: number, into: Uint8Array): Promise<boolean> {
    const half = Math.min(into.length, 4 * BLOCK_BYTES);
    try {
      await device.read(offset, into.subarray(0, half));
      await device.read(offset + half, into.subarray(half));
      return true;
    } catch {
      return false;
    }
  }

  #run<T>(steps: Steps<T>, oneIn: number): Promise<T> {
    return this.#one.run(async () => {
      for (;;) {
        const step = steps.next();
        if (step.done) return step.value;
        if (isPromise(step.value)) await step.value;
        else if (step.value !== undefined || this.parts.random.below(oneIn) === 0) {
          await this.parts.turn();
        }
      }
    });
  }
}
