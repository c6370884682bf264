// A guest at work: overwrites of 4 to 64 KiB in a working set, several in flight on two
// connections, with flushes and a TRIM. It never has two requests on one place at a time, as no
// file system has, so what it was answered says exactly what the disk holds. Lengths are bytes.
import { present } from '../src/base/assert.js';
import type { Clock } from '../src/base/clock.js';
import { codeOf } from '../src/base/errors.js';
import type { Random } from '../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB, SECTOR_BYTES } from '../src/base/units.js';
import type { Acknowledged } from './demo-acknowledged.js';
import type { Content } from './demo-content.js';
import { NbdClient } from './nbd-client.js';

const CONNECTIONS = 2;
const IN_FLIGHT_MAX = 8;
/** A flush follows so many writes. */
const WRITES_PER_FLUSH = 64;
/** The working set: this share of the disk, in pieces of a mebibyte all over it. */
const WORKING_SHARE = 8;
/** One write in so many is not aligned to blocks. */
const UNALIGNED_ONE_IN = 8;

export interface GuestParts {
  readonly acknowledged: Acknowledged;
  readonly content: Content;
  readonly random: Random;
  readonly clock: Clock;
}

export interface GuestCounts {
  readonly writes: number;
  readonly writtenBytes: number;
  readonly flushes: number;
}

export class Guest {
  readonly #parts: GuestParts;
  readonly #slots: readonly number[];
  readonly #regions: readonly number[];
  readonly #busy = new Set<number>();
  #clients: readonly NbdClient[] = [];
  #counts = { writes: 0, writtenBytes: 0, flushes: 0 };

  constructor(parts: GuestParts) {
    this.#parts = parts;
    this.#regions = regionsOf(parts.acknowledged.sizeBytes, parts.random);
    this.#slots = this.#regions.flatMap((region) => slotsOf(region, parts.acknowledged.sizeBytes));
  }

  get counts(): GuestCounts {
    return { ...this.#counts };
  }

  /** Opens the disk; the connections before, if any, have ended. */
  async attach(socketPath: string, exportName: string): Promise<void> {
    const clients = Array.from({ length: CONNECTIONS }, () =>
      NbdClient.open(socketPath, exportName),
    );
    this.#clients = await Promise.all(clients);
  }

  async detach(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  /** Ends the connections at once. */
  destroy(): void {
    for (const client of this.#clients) client.destroy();
  }

  /** As fast as it goes until `bytes` are written; a flush ends it. */
  async write(bytes: number): Promise<void> {
    const end = this.#counts.writtenBytes + bytes;
    await this.#work(() => this.#counts.writtenBytes < end, null);
    await this.#flush();
  }

  /** At a measured pace until `stop`, or until the export is gone. */
  async keepWriting(writesPerSecond: number, stop: AbortSignal): Promise<'stopped' | 'lost'> {
    try {
      await this.#work(() => !stop.aborted, writesPerSecond);
      return 'stopped';
    } catch (error) {
      if (codeOf(error) === 'NBD_CLIENT_LOST') return 'lost';
      throw error;
    }
  }

  /** Writes what the disk holds already, at most `bytes` of the working set. Returns how much. */
  async rewrite(bytes: number): Promise<number> {
    const { acknowledged } = this.#parts;
    const before = this.#counts.writtenBytes;
    const slots = this.#slots.slice(0, Math.ceil(bytes / CHUNK_BYTES));
    const worker = async (client: NbdClient): Promise<void> => {
      for (let slot = slots.pop(); slot !== undefined; slot = slots.pop()) {
        const same = Buffer.alloc(this.#lengthOf(slot));
        await acknowledged.read(slot, same);
        await client.write(slot, same);
        this.#count(same.length);
      }
    };
    await Promise.all(this.#workers().map(worker));
    await this.#flush();
    return this.#counts.writtenBytes - before;
  }

  /** TRIM of one piece of the working set. What a trimmed place reads as is the server's choice,
   * so the guest reads it back and expects that from then on. Returns the trimmed bytes. */
  async trim(): Promise<number> {
    const { acknowledged, random } = this.#parts;
    const offset = present(this.#regions[random.below(this.#regions.length)], 'there is a region');
    const client = present(this.#clients[0], 'attached');
    const now = Buffer.alloc(Math.min(MIB, acknowledged.sizeBytes - offset));
    await client.trim(offset, now.length);
    await client.read(offset, now);
    await acknowledged.write(offset, now);
    return now.length;
  }

  /** `more` is asked before each write. */
  async #work(more: () => boolean, writesPerSecond: number | null): Promise<void> {
    const { clock } = this.#parts;
    const beganMs = clock.monotonicMs();
    let begun = 0;
    const worker = async (client: NbdClient): Promise<void> => {
      while (more()) {
        begun += 1;
        if (begun % WRITES_PER_FLUSH === 0) await this.#flush();
        if (writesPerSecond !== null) {
          const dueMs = beganMs + (1000 * begun) / writesPerSecond;
          await clock.sleep(Math.max(0, dueMs - clock.monotonicMs()));
        }
        await this.#overwrite(client);
      }
    };
    const ended = await Promise.allSettled(this.#workers().map(worker));
    for (const end of ended) if (end.status === 'rejected') throw end.reason;
  }

  /** One entry per write in flight, connections in turn. */
  #workers(): NbdClient[] {
    const count = Math.min(IN_FLIGHT_MAX, this.#slots.length);
    return Array.from({ length: count }, (_, at) =>
      present(this.#clients[at % this.#clients.length], 'attached'),
    );
  }

  async #overwrite(client: NbdClient): Promise<void> {
    const { acknowledged, content, random } = this.#parts;
    const slot = this.#takeSlot();
    try {
      const length = this.#lengthOf(slot);
      const unit = random.below(UNALIGNED_ONE_IN) === 0 ? SECTOR_BYTES : BLOCK_BYTES;
      const units = Math.max(1, Math.floor(length / unit));
      const first = random.below(units);
      const count = 1 + random.below(units - first);
      const offset = slot + first * unit;
      const bytes = content.next(Math.min(count * unit, slot + length - offset));
      await client.write(offset, bytes);
      await acknowledged.write(offset, bytes);
      this.#count(bytes.length);
    } finally {
      this.#busy.delete(slot);
    }
  }

  /** A place where nothing is in flight. There are at least as many slots as workers. */
  #takeSlot(): number {
    for (;;) {
      const slot = present(this.#slots[this.#parts.random.below(this.#slots.length)], 'in range');
      if (this.#busy.has(slot)) continue;
      this.#busy.add(slot);
      return slot;
    }
  }

  #lengthOf(slot: number): number {
    return Math.min(CHUNK_BYTES, this.#parts.acknowledged.sizeBytes - slot);
  }

  #count(bytes: number): void {
    this.#counts.writes += 1;
    this.#counts.writtenBytes += bytes;
  }

  async #flush(): Promise<void> {
    await present(this.#clients[this.#counts.flushes % this.#clients.length], 'attached').flush();
    this.#counts.flushes += 1;
  }
}

/** Offsets of the working set's pieces, picked from the seed: the first steps of a shuffle. */
function regionsOf(sizeBytes: number, random: Random): number[] {
  const all = Array.from({ length: Math.ceil(sizeBytes / MIB) }, (_, at) => at * MIB);
  const wanted = Math.max(1, Math.floor(all.length / WORKING_SHARE));
  const picked: number[] = [];
  while (picked.length < wanted) {
    const at = random.below(all.length);
    const region = present(all[at], 'in range');
    all[at] = present(all.at(-1), 'not empty');
    all.pop();
    picked.push(region);
  }
  return picked;
}

function slotsOf(region: number, sizeBytes: number): number[] {
  const end = Math.min(region + MIB, sizeBytes);
  const slots: number[] = [];
  for (let at = region; at < end; at += CHUNK_BYTES) slots.push(at);
  return slots;
}
