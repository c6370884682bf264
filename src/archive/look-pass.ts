// A pass over the packs that kept points need: attributes of all of them, by a list of the packs
// (a request for a thousand; where lists are denied, by a request for each that is read), and the
// content of some, those first that were never looked at, then those of longest ago, until a budget
// of bytes is spent. What passes is remembered (looks.ts), so that the next pass goes on.
//
// A pack is read whole and compared with its name, which is the BLAKE3 of what was put (H33): that
// holds for all that is in it, frames and index, sealed or not, and takes nothing from the index,
// where the records that points need are known only to all of its leaves. What that tells is that
// every byte is as it was written.
//
// Guarantees: a pack is damaged only when its content was read twice, or it was looked for twice;
// and only while a point is there that needs it (a prune may run meanwhile). Errors that say
// nothing of the archive end a pass, and what was looked at until then is remembered.
// Not counted as spent: points, tables and lists, some KiB for each point.
import { mapAhead } from '../base/ahead.js';
import { equalBytes, runningDigest } from '../base/digest.js';
import { codeOf } from '../base/errors.js';
import { MIB } from '../base/units.js';
import type { PackFault } from '../format/archive-looks.js';
import type { PackName } from '../format/archive-node.js';
import {
  type ArchivePoint,
  type PointPlace,
  packKey,
  pointKey,
} from '../format/archive-objects.js';
import type { Archive } from './archive.js';
import type { DamagedPart } from './damage.js';
import { chosenPacks, type LookRow } from './look-order.js';
import type { Looks } from './looks.js';
import { NeededPacks, type NeededPart } from './needed-packs.js';

const POINTS_AHEAD = 8;
const HEADS_AHEAD = 16;
const RANGE_BYTES = 4 * MIB;
const RANGES_AHEAD = 2;
/** What is remembered is written down so often: of packs that were read. */
const SAVE_PACKS = 32;
const PACKS_PREFIX = 'packs/';
/** Between two turns, in a list. */
const LISTED_TURN = 1000;

export interface LookOptions {
  /** Of packs; the first pack is read whatever it has, unless this is 0. */
  readonly budgetBytes: number;
  /** A pack whose content was looked at within this time is not read again. */
  readonly restMs: number;
  /** Wall time. */
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** Waited for before requests: who needs the store goes first. */
  readonly turn: () => Promise<void>;
  /** Bytes that were read, of those that will be. */
  readonly onProgress: (done: number, total: number) => void;
}

export interface DamagedPack extends NeededPart {
  /** In hex. */
  readonly name: string;
}

export interface LookResult {
  /** Numbers of the points that were looked at, newest first. */
  readonly points: readonly number[];
  /** Packs that were read now, and bytes of these. */
  readonly read: { readonly packs: number; readonly bytes: number };
  readonly damaged: readonly DamagedPack[];
  /** Tables of packs that cannot be read: what they name was not looked for. */
  readonly tables: readonly DamagedPart[];
}

/** `last`: the newest point. Errors of the store, of the file, ABORT_ERR. */
export async function lookAtPacks(
  archive: Archive,
  last: ArchivePoint,
  looks: Looks,
  options: LookOptions,
): Promise<LookResult> {
  return new LookRun(archive, looks, options).run(last);
}

class LookRun {
  readonly #archive: Archive;
  readonly #looks: Looks;
  readonly #options: LookOptions;
  readonly #numbers: number[] = [];
  #spent = 0;
  #packs = 0;

  constructor(archive: Archive, looks: Looks, options: LookOptions) {
    this.#archive = archive;
    this.#looks = looks;
    this.#options = options;
  }

  async run(last: ArchivePoint): Promise<LookResult> {
    const looks = this.#looks;
    const needed = await NeededPacks.of(this.#archive, this.#points(last), this.#options.signal);
    const tables = await this.#stillNeeded(needed.damaged);
    // What a damaged table names is not known to be needed, nor that it is not.
    looks.need(needed.packs, tables.length === 0);
    looks.pass = { ...looks.pass, badTables: tables.length };
    const isListed = await this.#attributes(needed);
    // First: a memory that cannot be written is said before anything is read for it.
    await looks.save();
    try {
      await this.#contents(needed, isListed);
      const damaged = await this.#damaged(needed);
      const read = { packs: this.#packs, bytes: this.#spent };
      return { points: this.#numbers, read, damaged, tables };
    } finally {
      await looks.save();
    }
  }

  /** All that are kept; one that is pruned meanwhile is left out. */
  async *#points(last: ArchivePoint): AsyncGenerator<ArchivePoint> {
    this.#numbers.push(last.to.number);
    yield last;
    const read = async ({ place }: { readonly place: PointPlace }) => {
      await this.#turn();
      return this.#archive.point(place);
    };
    for await (const point of mapAhead(last.kept, POINTS_AHEAD, read)) {
      if (point === null) continue;
      this.#numbers.push(point.to.number);
      yield point;
    }
  }

  /** Whether all packs are there, with their lengths; false: lists are denied. */
  async #attributes(needed: NeededPacks): Promise<boolean> {
    const { store } = this.#archive;
    const rows = this.#rows(needed);
    const found = new Map<string, number>();
    let seen = 0;
    try {
      await this.#turn();
      for await (const { key, bytes } of store.list(PACKS_PREFIX)) {
        const name = key.slice(key.lastIndexOf('/') + 1);
        if (needed.packs.has(name)) found.set(name, bytes);
        seen += 1;
        if (seen % LISTED_TURN === 0) await this.#turn();
      }
    } catch (error) {
      if (codeOf(error) !== 'STORE_DENIED') throw error;
      return false;
    }
    const absent = rows.filter(([name, { bytes }]) => found.get(name) !== bytes);
    // Once more: a list may be late, or what it says of an object be of before.
    const look = async ([name, row]: LookRow) => ({
      name,
      fault: await this.#attributeFault(row),
    });
    const faults = new Map<string, PackFault>();
    for await (const { name, fault } of mapAhead(absent, HEADS_AHEAD, look)) {
      if (fault !== null) faults.set(name, fault);
    }
    for (const [name, { fault }] of rows) {
      const is = faults.get(name) ?? (fault === 'content' ? fault : null);
      if (is !== fault) this.#looks.note(name, is, null);
    }
    return true;
  }

  async #attributeFault(pack: PackName): Promise<PackFault | null> {
    await this.#turn();
    const facts = await this.#archive.store.head(packKey(pack.name));
    if (facts === null) return 'missing';
    return facts.bytes === pack.bytes ? null : 'length';
  }

  async #contents(needed: NeededPacks, isListed: boolean): Promise<void> {
    const { nowMs, onProgress } = this.#options;
    const { budgetBytes, restMs } = this.#options;
    // What is known to be gone is not asked for.
    const isThere = ([, { fault }]: LookRow) => fault === null || fault === 'content';
    const rows = this.#rows(needed).filter((row) => !isListed || isThere(row));
    const chosen = chosenPacks(rows, { budgetBytes, restMs, nowMs: nowMs() });
    const total = chosen.reduce((sum, [, { bytes }]) => sum + bytes, 0);
    for (const [name, pack] of chosen) {
      const fault =
        (isListed ? null : await this.#attributeFault(pack)) ?? (await this.#look(pack));
      this.#looks.note(name, fault, nowMs());
      this.#packs += 1;
      this.#spent += pack.bytes;
      const { pass } = this.#looks;
      this.#looks.pass = { ...pass, spentBytes: pass.spentBytes + pack.bytes };
      onProgress(this.#spent, total);
      if (this.#packs % SAVE_PACKS === 0) await this.#looks.save();
    }
  }

  /** Null: it is as it was put. */
  async #look(pack: PackName): Promise<PackFault | null> {
    // Twice: what was damaged on the way is not damaged there.
    return (await this.#read(pack)) === null ? null : this.#read(pack);
  }

  async #read(pack: PackName): Promise<PackFault | null> {
    const { store } = this.#archive;
    const key = packKey(pack.name);
    const digest = runningDigest();
    const offsets = Array.from(
      { length: Math.ceil(pack.bytes / RANGE_BYTES) },
      (_, at) => at * RANGE_BYTES,
    );
    const read = async (at: number): Promise<Uint8Array> => {
      await this.#turn();
      return store.read(key, at, Math.min(RANGE_BYTES, pack.bytes - at));
    };
    try {
      for await (const bytes of mapAhead(offsets, RANGES_AHEAD, read)) digest.add(bytes);
    } catch (error) {
      const code = codeOf(error);
      if (code === 'STORE_MISSING') return 'missing';
      if (code === 'STORE_SHORT') return 'length';
      throw error;
    }
    return equalBytes(digest.done(), pack.name) ? null : 'content';
  }

  /** Of packs that a point which is still there needs; the others are forgotten. */
  async #damaged(needed: NeededPacks): Promise<readonly DamagedPack[]> {
    const damaged: DamagedPack[] = [];
    for (const [name, look] of this.#rows(needed)) {
      const { bytes, fault } = look;
      if (fault === null) continue;
      const place = `${this.#archive.store.url}/${packKey(look.name)}`;
      const needing = needed.pointsOf(name);
      const points = needing.map(({ number }) => number);
      damaged.push({ name, place, why: WHY[fault](bytes), points, needing });
    }
    const left = await this.#stillNeeded(damaged);
    const names = new Set(left.map(({ name }) => name));
    for (const { name } of damaged) if (!names.has(name)) this.#looks.forget(name);
    return left;
  }

  /** Of parts those that a point which is still there needs, of each the points that are: a prune
   * may have removed others since they were read, and their packs with them. */
  async #stillNeeded<T extends NeededPart>(parts: readonly T[]): Promise<readonly T[]> {
    const there = new Map<string, boolean>();
    for (const { place } of parts.flatMap((part) => part.needing)) {
      const key = pointKey(place);
      if (there.has(key)) continue;
      await this.#turn();
      there.set(key, (await this.#archive.point(place)) !== null);
    }
    return parts.flatMap((part) => {
      const needing = part.needing.filter(({ place }) => there.get(pointKey(place)));
      const points = needing.map(({ number }) => number);
      return needing.length === 0 ? [] : [{ ...part, points, needing }];
    });
  }

  /** Of packs that are known to be needed. */
  #rows({ packs }: NeededPacks): readonly LookRow[] {
    return [...this.#looks.rows].filter(([name]) => packs.has(name));
  }

  async #turn(): Promise<void> {
    this.#options.signal.throwIfAborted();
    await this.#options.turn();
    this.#options.signal.throwIfAborted();
  }
}

const WHY: Readonly<Record<PackFault, (bytes: number) => string>> = {
  missing: () => 'it is not there',
  length: (bytes) => `it has not the ${bytes} bytes that were put`,
  content: () => 'its content is not what was put: it has another digest than its name',
};
