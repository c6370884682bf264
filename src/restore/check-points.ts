// Reads what points of an archive need and checks every chunk against its digest (Q1), region by
// region for all of them together: what points share is read and checked once. What is damaged is
// reported with the chunk and the place, and the rest goes on; errors that say nothing of the
// archive (no network, no rights) end it.
// Memory: WINDOW_CHUNKS for each window under way, what Frames has, and what lay-frames.ts keeps.

import type { Archive } from '../archive/archive.js';
import { type DamagedPart, isDamage, joined } from '../archive/damage.js';
import { recordId, type Wanted } from '../archive/laying.js';
import { numbersIn } from '../archive/needed-packs.js';
import { type NameOf, PointTrees, type SharedTrees, type Tree } from '../archive/tree.js';
import { mapAhead } from '../base/ahead.js';
import { present } from '../base/assert.js';
import { describeError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { CHUNK_BYTES, type ChunkIndex } from '../base/units.js';
import { type LeafEntry, mergeLeaves } from '../format/archive-leaf.js';
import { PAGE_LEAVES, type Page } from '../format/archive-node.js';
import { type ArchivePoint, packKey } from '../format/archive-objects.js';
import { REGION_BYTES } from './archive-region.js';
import { everyChunk, SAMPLE_CHUNKS, sampleOf } from './chunk-sample.js';
import {
  addVersion,
  byReferences,
  isMeant,
  type Pages,
  type PointView,
  type Version,
} from './chunk-versions.js';
import { Frames } from './frames.js';
import { layHere } from './lay-frames.js';
import { type BadRecord, layChunks } from './laying.js';

/** Checked together: 16 MiB. */
const WINDOW_CHUNKS = 256;
const WINDOWS_AHEAD = 2;
const TREES_AHEAD = 8;
/** Named one by one; the others are only counted. */
const DAMAGED_NAMED_MAX = 10_000;

export interface CheckOptions {
  /** Of all that there is, above 0 and at most 1; which, is drawn. */
  readonly share: number;
  /** Only chunks of which something stands in these packs, named in hex; null: in any. */
  readonly packs?: ReadonlySet<string> | null;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Bytes of the disk that were looked at, of all. */
  readonly onProgress: (done: number, total: number) => void;
}

export interface DamagedChunk {
  readonly chunk: ChunkIndex;
  /** On the disk. */
  readonly offset: number;
  readonly length: number;
  /** Numbers of the points that have it so, newest first. */
  readonly points: readonly number[];
  /** Where its content stands, and what is wrong there; null: the record is whole. */
  readonly places: readonly { readonly place: string; readonly why: string | null }[];
}

export interface PointsChecked {
  /** Versions of chunks that were checked: one that several points have counts once. */
  readonly chunks: number;
  readonly chunkBytes: number;
  readonly damagedChunks: number;
  /** The first of these. */
  readonly damaged: readonly DamagedChunk[];
  /** Parts of the index that cannot be read: what is below them was not checked. */
  readonly index: readonly DamagedPart[];
  /** Numbers of all points that have any of this, newest first. */
  readonly damagedPoints: readonly number[];
}

export async function checkPoints(
  archive: Archive,
  points: readonly ArchivePoint[],
  options: CheckOptions,
): Promise<PointsChecked> {
  const checking = new Checking(archive, points, options);
  await checking.run();
  return checking.result;
}

const numberOf = ({ point }: PointView): number => point.to.number;

class Checking {
  readonly #archive: Archive;
  readonly #options: CheckOptions;
  readonly #frames: Frames;
  readonly #views: readonly PointView[];
  readonly #trees: readonly Tree[];
  readonly #index: DamagedPart[] = [];
  readonly #damaged: DamagedChunk[] = [];
  /** Numbers of points. */
  readonly #bad = new Set<number>();
  #damagedChunks = 0;
  #chunks = 0;
  #chunkBytes = 0;

  constructor(archive: Archive, points: readonly ArchivePoint[], options: CheckOptions) {
    const shared: SharedTrees = new Map();
    this.#archive = archive;
    this.#options = options;
    this.#frames = new Frames(archive.store, layHere(archive.keyOf));
    this.#views = points.map((point) => ({
      point,
      trees: new PointTrees(archive, point.trees, shared),
      meant: null,
    }));
    this.#trees = [...shared.values()];
  }

  get result(): PointsChecked {
    return {
      chunks: this.#chunks,
      chunkBytes: this.#chunkBytes,
      damagedChunks: this.#damagedChunks,
      damaged: this.#damaged,
      index: joined(this.#index),
      damagedPoints: this.#views.map(numberOf).filter((number) => this.#bad.has(number)),
    };
  }

  async run(): Promise<void> {
    const { signal, packs = null, onProgress } = this.#options;
    if (this.#views.length === 0) return;
    await this.#checkTables();
    if (packs !== null) await this.#onlyIn(packs);
    const sizeBytes = Math.max(...this.#views.map(({ point }) => point.sizeBytes));
    const check = async (window: readonly Version[]): Promise<readonly Version[]> => {
      signal.throwIfAborted();
      await this.#check(window);
      return window;
    };
    for await (const window of mapAhead(this.#windows(sizeBytes), WINDOWS_AHEAD, check)) {
      signal.throwIfAborted();
      const last = window.at(-1)?.entry.chunk ?? 0;
      onProgress(Math.min(sizeBytes, (last + 1) * CHUNK_BYTES), sizeBytes);
    }
    onProgress(sizeBytes, sizeBytes);
  }

  /** The names of packs: a point is read by those of its own trees, and what it has in common with
   * others is looked at once, by those of one. */
  async #checkTables(): Promise<void> {
    const check = async (tree: Tree): Promise<void> => {
      this.#options.signal.throwIfAborted();
      const users = this.#usersOf(tree);
      const root = await this.#readIndex(users, () => tree.root());
      for (const number of root?.packPages.keys() ?? []) {
        await this.#readIndex(users, () => tree.packPage(number));
      }
    };
    for await (const _ of mapAhead(this.#trees, TREES_AHEAD, check));
  }

  async #onlyIn(names: ReadonlySet<string>): Promise<void> {
    const numbers = new Map<Tree, ReadonlySet<number>>();
    for (const tree of this.#trees) {
      const found = await this.#readIndex(this.#usersOf(tree), () => numbersIn(tree, names));
      numbers.set(tree, found ?? new Set());
    }
    for (const view of this.#views) {
      view.meant = new Set(view.trees.trees.flatMap((tree) => [...(numbers.get(tree) ?? [])]));
    }
  }

  #usersOf(tree: Tree): readonly PointView[] {
    return this.#views.filter(({ trees }) => trees.trees.includes(tree));
  }

  async *#windows(sizeBytes: number): AsyncGenerator<readonly Version[]> {
    const { share, random } = this.#options;
    const regions = Math.ceil(sizeBytes / REGION_BYTES);
    /** One of the regions that there are, each as likely as any other. */
    let spare: { readonly pages: Pages; readonly region: number } | null = null;
    let [seen, taken] = [0, 0];
    for (let first = 0; first < regions; first += PAGE_LEAVES) {
      const pages = await this.#pages(first / PAGE_LEAVES);
      const there = new Set([...pages.values()].flatMap((page) => [...page.keys()]));
      for (const at of [...there].sort((a, b) => a - b)) {
        seen += 1;
        if (share < 1 && random.below(seen) === 0) spare = { pages, region: first + at };
        const versions = await this.#versions(
          pages,
          first + at,
          sampleOf(first + at, share, random),
        );
        taken += versions.length;
        for (let from = 0; from < versions.length; from += WINDOW_CHUNKS) {
          yield versions.slice(from, from + WINDOW_CHUNKS);
        }
      }
    }
    // A sample that happens to have nothing would say of nothing that it is good.
    if (taken > 0 || spare === null) return;
    const versions = await this.#versions(spare.pages, spare.region, everyChunk);
    const from = versions.length === 0 ? 0 : random.below(versions.length);
    if (versions.length > 0) yield versions.slice(from, from + SAMPLE_CHUNKS);
  }

  async #pages(number: number): Promise<Pages> {
    const pages = new Map<Tree, Page>();
    for (const tree of this.#trees) {
      const page = await this.#readIndex(this.#usersOf(tree), () => tree.page(number));
      if (page !== null) pages.set(tree, page);
    }
    return pages;
  }

  /** All there is of a region, each content of each chunk once, by chunk. */
  async #versions(
    pages: Pages,
    region: number,
    wanted: (chunk: ChunkIndex) => boolean,
  ): Promise<readonly Version[]> {
    const leaves = new Map<string, LeafEntry[]>();
    const versions = new Map<string, Version>();
    for (const [refs, views] of byReferences(this.#views, pages, region % PAGE_LEAVES)) {
      let all: LeafEntry[] | null = [];
      for (const { tree, ref, id } of refs) {
        // What cannot be read is asked for by all who need it: through the tree of another point it
        // may still be found, and else each of them is named.
        const leaf =
          leaves.get(id) ?? (await this.#readIndex(views, () => tree.leafOf(ref, region)));
        if (leaf !== null) leaves.set(id, leaf);
        all = leaf === null || all === null ? null : mergeLeaves(all, leaf);
      }
      for (const view of all === null ? [] : views) {
        for (const entry of all ?? []) {
          if (wanted(entry.chunk) && isMeant(view, entry)) addVersion(versions, view, entry);
        }
      }
    }
    return [...versions.values()].sort((a, b) => a.entry.chunk - b.entry.chunk);
  }

  async #check(window: readonly Version[]): Promise<void> {
    const treesOf = new Map<number, PointTrees>();
    for (const { entry, trees } of window) {
      for (const { place } of entry.pieces) if (place !== null) treesOf.set(place.pack, trees);
    }
    const nameOf: NameOf = (pack) =>
      present(treesOf.get(pack), 'only these are asked for').nameOf(pack);
    const wanted = new Map<Wanted, Version>();
    for (const version of window) {
      const bytes = new Uint8Array(version.length);
      wanted.set({ entry: version.entry, bytes }, version);
      this.#chunkBytes += version.length;
    }
    this.#chunks += window.length;
    // Other versions of the last chunk may be in the next window.
    const end = present(window.at(-1), 'a window has chunks').entry.chunk;
    for (const bad of await layChunks(this.#frames, nameOf, [...wanted.keys()], end, true)) {
      const version = present(wanted.get(bad.wanted), 'only these were asked for');
      this.#damagedChunks += 1;
      for (const number of version.points) this.#bad.add(number);
      if (this.#damaged.length < DAMAGED_NAMED_MAX) {
        this.#damaged.push(await this.#damagedChunk(version, bad.records, nameOf));
      }
    }
  }

  async #damagedChunk(
    { entry, length, points }: Version,
    records: readonly BadRecord[],
    nameOf: NameOf,
  ): Promise<DamagedChunk> {
    const bad = new Map(records.map((one) => [recordId(one.record), one]));
    const places: { place: string; why: string | null }[] = [];
    for (const { place } of entry.pieces) {
      if (place === null) continue;
      const found = bad.get(recordId(place));
      if (found !== undefined) {
        places.push({ place: found.place, why: describeError(found.error) });
        continue;
      }
      const key = packKey((await nameOf(place.pack)).name);
      places.push({ place: `${this.#archive.store.url}/${key} at ${place.offset}`, why: null });
    }
    return { chunk: entry.chunk, offset: entry.chunk * CHUNK_BYTES, length, points, places };
  }

  /** Null: that part of the index is damaged, which is noted for the points that need it. */
  async #readIndex<T>(users: readonly PointView[], read: () => Promise<T>): Promise<T | null> {
    try {
      return await read();
    } catch (error) {
      if (!isDamage(error)) throw error;
      const points = users.map(numberOf);
      for (const number of points) this.#bad.add(number);
      this.#index.push({ place: this.#archive.store.url, why: describeError(error), points });
      return null;
    }
  }
}
