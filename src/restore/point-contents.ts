// Which chunks of a point have content, as far as it has been looked up: what makes reads of zeroes
// free and lets clients copy only what is there (base:allocation, in chunks). Guarantee: a chunk is
// called zero only where the point's index says so. Memory: 32 bytes and some for each of
// CONTENTS_KEPT_MAX regions of 16 MiB.
import { mapAhead } from '../base/ahead.js';
import { CHUNK_BYTES, type ChunkIndex } from '../base/units.js';
import type { SoonerRuns, StatusRun } from '../disk/disk.js';
import { READ_CONTEXT, STATE_HOLE, STATE_ZERO } from '../nbd/meta-context.js';
import { hasContent, type PointReader, REGION_CHUNKS } from './point-reader.js';

const CONTENTS_KEPT_MAX = 16_384;
const REGION_BYTES = REGION_CHUNKS * CHUNK_BYTES;
/** Looked up for one answer, which ends there: 4 GiB of disk. */
const STATUS_REGIONS_MAX = 256;
const REGIONS_AHEAD = 16;

export class PointContents {
  readonly #reader: PointReader;
  readonly #known = new Map<number, Uint8Array>();
  readonly #asked = new Map<number, Promise<Uint8Array>>();

  constructor(reader: PointReader) {
    this.#reader = reader;
  }

  /** Known to be zeroes; false also where nobody has looked. */
  isZero(chunk: ChunkIndex): boolean {
    const contents = this.#known.get(Math.floor(chunk / REGION_CHUNKS));
    return contents !== undefined && !hasContent(contents, chunk);
  }

  of(region: number): Promise<Uint8Array> {
    const known = this.#known.get(region);
    if (known !== undefined) return Promise.resolve(known);
    const asked = this.#asked.get(region);
    if (asked !== undefined) return asked;
    const asking = this.#reader
      .contents(region)
      .then((contents) => this.#keep(region, contents))
      .finally(() => this.#asked.delete(region));
    this.#asked.set(region, asking);
    return asking;
  }

  /** As Disk.status. */
  status(context: string, offset: number, length: number, runsMax: number): SoonerRuns {
    const first = Math.floor(offset / REGION_BYTES);
    const last = Math.floor((offset + length - 1) / REGION_BYTES);
    const regions: number[] = [];
    for (let region = first; region <= last && regions.length < STATUS_REGIONS_MAX; region += 1) {
      regions.push(region);
    }
    const end = Math.min(offset + length, ((regions.at(-1) ?? 0) + 1) * REGION_BYTES);
    const isKnown = regions.every((region) => this.#known.has(region));
    if (context === READ_CONTEXT || isKnown) {
      const all = new Map(regions.map((region) => [region, this.#known.get(region) ?? null]));
      return runsOf(all, offset, end, runsMax);
    }
    return this.#lookedUp(regions, offset, end, runsMax);
  }

  async #lookedUp(
    regions: readonly number[],
    offset: number,
    end: number,
    runsMax: number,
  ): Promise<readonly StatusRun[]> {
    const all = new Map<number, Uint8Array>();
    const look = async (region: number) => ({ region, contents: await this.of(region) });
    for await (const { region, contents } of mapAhead(regions, REGIONS_AHEAD, look)) {
      all.set(region, contents);
    }
    return runsOf(all, offset, end, runsMax);
  }

  #keep(region: number, contents: Uint8Array): Uint8Array {
    this.#known.set(region, contents);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= CONTENTS_KEPT_MAX) break;
      this.#known.delete(oldest);
    }
    return contents;
  }
}

/** `all`: of every region of the range; null: not known, so that it may be data. */
function runsOf(
  all: ReadonlyMap<number, Uint8Array | null>,
  offset: number,
  end: number,
  runsMax: number,
): readonly StatusRun[] {
  const runs: { length: number; flags: number }[] = [];
  for (let at = offset; at < end; ) {
    const chunk = Math.floor(at / CHUNK_BYTES);
    const contents = all.get(Math.floor(chunk / REGION_CHUNKS)) ?? null;
    const isZero = contents !== null && !hasContent(contents, chunk);
    const flags = isZero ? STATE_HOLE | STATE_ZERO : 0;
    const next = Math.min(end, (chunk + 1) * CHUNK_BYTES);
    const last = runs.at(-1);
    if (last?.flags === flags) last.length += next - at;
    else if (runs.length === runsMax) break;
    else runs.push({ length: next - at, flags });
    at = next;
  }
  return runs;
}
