// Guests of a simulated primary: writes of every shape a guest may use, zeroes, TRIM, flushes,
// reads that are checked, and older content put back (H7: A-B-A); by seed, on any of the data
// threads. Whatever a guest is told goes into the model of its disk (sectors.ts).
import { present } from '../../src/base/assert.js';
import type { Random } from '../../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';
import { DiskError } from '../../src/disk/device.js';
import { WorldStopped } from '../world/memory-files.js';
import type { GuestDisks } from './guest-disks.js';
import { contentOf, type Sectors } from './sectors.js';

export class Guests {
  /** Numbers of writes. */
  #writes = 1000;
  requests = 0;

  /** `count` requests, one after another. `older`: content that some of them put back; `near`: what
   * they begin in. */
  async some(
    guests: GuestDisks,
    view: Sectors,
    count: number,
    random: Random,
    older: readonly Uint8Array[],
    near: Range | null = null,
  ): Promise<void> {
    for (let done = 0; done < count && guests.open; done += 1) {
      const end = await requested(guests, () => this.#one(guests, view, random, older, near));
      if (end === 'gone') return;
    }
  }

  /** Puts back all of an older content of the disk, chunk by chunk, as a guest does that goes back
   * to a snapshot of its own (H7: A-B-A, in whole chunks). */
  async revert(
    guests: GuestDisks,
    view: Sectors,
    image: Uint8Array,
    random: Random,
  ): Promise<void> {
    const end = Math.min(image.length, view.sizeBytes);
    for (let at = 0; at < end && guests.open; at += CHUNK_BYTES) {
      const bytes = image.slice(at, Math.min(at + CHUNK_BYTES, end));
      this.requests += 1;
      const put = (): Promise<void> => this.#write(guests, view, at, bytes, random);
      if ((await requested(guests, put)) === 'gone') return;
    }
  }

  async #one(
    guests: GuestDisks,
    view: Sectors,
    random: Random,
    older: readonly Uint8Array[],
    near: Range | null,
  ): Promise<void> {
    this.requests += 1;
    const kind = random.below(16);
    if (kind === 0) return this.#flush(guests, view, random);
    if (kind === 1) return this.#read(guests, view, random);
    const range = rangeOf(view.sizeBytes, random, near);
    if (kind === 2) return this.#zero(guests, view, range, random);
    if (kind === 3) return this.#trim(guests, view, range, random);
    const image = older[random.below(older.length + 1)];
    if (kind < 5 && image !== undefined && image.length >= range.offset + range.length) {
      const bytes = image.slice(range.offset, range.offset + range.length);
      return this.#write(guests, view, range.offset, bytes, random);
    }
    const last = older.at(-1);
    if (kind < 7 && last !== undefined && last.length >= view.sizeBytes) {
      const { offset, length } = wholeChunk(range.offset, view.sizeBytes);
      // What it replaces may be on the medium already.
      if (random.below(2) === 0) await this.#flush(guests, view, random);
      const bytes = last.slice(offset, offset + length);
      return this.#write(guests, view, offset, bytes, random);
    }
    this.#writes += 1;
    const bytes = contentOf(range.offset, range.length, this.#writes);
    await this.#write(guests, view, range.offset, bytes, random);
    // FUA: the write and a flush.
    if (kind === 15) await this.#flush(guests, view, random);
  }

  async #write(
    guests: GuestDisks,
    view: Sectors,
    offset: number,
    bytes: Uint8Array,
    random: Random,
  ): Promise<void> {
    const writing = view.begin(offset, bytes);
    try {
      if (random.below(3) === 0) await oneOf(guests.stepped, random).write(offset, bytes);
      else await diskOf(guests, random).write(offset, bytes);
    } catch (error) {
      if (error instanceof DiskError) view.end(writing, 'failed');
      throw error;
    }
    view.end(writing, 'done');
  }

  async #zero(guests: GuestDisks, view: Sectors, range: Range, random: Random): Promise<void> {
    const writing = view.begin(range.offset, new Uint8Array(range.length));
    const [mayPunch, fast] = [random.below(2) === 0, random.below(4) === 0];
    try {
      const result = await diskOf(guests, random).zero(range.offset, range.length, mayPunch, fast);
      view.end(writing, result === 'done' ? 'done' : 'nothing');
    } catch (error) {
      if (error instanceof DiskError) view.end(writing, 'failed');
      throw error;
    }
  }

  async #trim(guests: GuestDisks, view: Sectors, range: Range, random: Random): Promise<void> {
    const advice = view.begin(range.offset, new Uint8Array(range.length), false);
    await diskOf(guests, random).trim(range.offset, range.length);
    view.end(advice, 'done');
  }

  async #flush(guests: GuestDisks, view: Sectors, random: Random): Promise<void> {
    const begun = view.beginFlush();
    await diskOf(guests, random).flush();
    view.flushed(begun);
  }

  async #read(guests: GuestDisks, view: Sectors, random: Random): Promise<void> {
    const { offset, length } = rangeOf(view.sizeBytes, random);
    const into = new Uint8Array(length);
    const reading = view.beginRead(offset, length);
    await diskOf(guests, random).read(offset, into);
    view.check(reading, into, 'a guest reads');
  }
}

/** 'gone': the machine is. What the disk cannot do the guest is told, and goes on. */
async function requested(guests: GuestDisks, work: () => Promise<void>): Promise<'done' | 'gone'> {
  try {
    await guests.request(work);
  } catch (error) {
    if (error instanceof WorldStopped) return 'gone';
    if (!(error instanceof DiskError)) throw error;
  }
  return 'done';
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

const oneOf = <T>(threads: readonly T[], random: Random): T =>
  present(threads[random.below(threads.length)], 'there are data threads');

const diskOf = (guests: GuestDisks, random: Random) => oneOf(guests.disks, random);

/** All of a chunk that is put back makes it what a target has. */
function wholeChunk(at: number, sizeBytes: number): Range {
  const offset = Math.floor(at / CHUNK_BYTES) * CHUNK_BYTES;
  return { offset, length: Math.min(CHUNK_BYTES, sizeBytes - offset) };
}

/** Whole blocks mostly; sometimes sectors, sometimes up to three chunks, sometimes the end. */
function rangeOf(sizeBytes: number, random: Random, near: Range | null = null): Range {
  const grain = random.below(4) === 0 ? SECTOR_BYTES : BLOCK_BYTES;
  const many = random.below(8) === 0 ? 200 : 40;
  const wanted = grain * (1 + random.below(random.below(4) === 0 ? many : 3));
  const last = Math.floor((sizeBytes - 1) / grain);
  const hot = Math.min(last, Math.floor(CHUNK_BYTES / grain));
  // Half of all goes to the first chunk: overlaps and overwrites are what hurts.
  const place = random.below(8);
  const anywhere = place === 0 ? last : random.below((place < 5 ? hot : last) + 1);
  const aimed = near === null ? 0 : near.offset / grain + random.below(near.length / grain);
  const block = near === null ? anywhere : Math.min(last, Math.floor(aimed));
  return { offset: grain * block, length: Math.min(wanted, sizeBytes - grain * block) };
}
