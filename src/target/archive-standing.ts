// Where an archive stands: its newest point, and what of the disk is read there. Also which of its
// chunks were found damaged since: a primary that still has their content sends them whole with its
// next round (H28), so that the newest point is whole again; older points keep what they had.
import type { Archive } from '../archive/archive.js';
import { ChunkReader } from '../archive/chunk-reader.js';
import { numbersIn } from '../archive/needed-packs.js';
import { PointTrees } from '../archive/tree.js';
import { digestOf } from '../base/digest.js';
import { codeOf } from '../base/errors.js';
import { type ChunkIndex, chunkCount, chunkLength, DIGEST_BYTES } from '../base/units.js';
import { LEAF_CHUNKS, type LeafEntry, regionOf } from '../format/archive-leaf.js';
import type { ArchivePoint } from '../format/archive-objects.js';
import { zeroDigest } from '../format/digest-table.js';

/** What cannot be had however often it is asked for. */
const DAMAGE: ReadonlySet<string> = new Set(['FORMAT_BAD', 'STORE_MISSING', 'STORE_SHORT']);
/** More are found again by the next verification. */
const DAMAGED_MAX = 65_536;

export class Standing {
  readonly point: ArchivePoint;
  readonly #archive: Archive;
  readonly #chunks: ChunkReader;
  readonly #damaged = new Set<ChunkIndex>();

  constructor(archive: Archive, point: ArchivePoint) {
    this.point = point;
    this.#archive = archive;
    const trees = new PointTrees(archive, point.trees, archive.trees);
    trees.forgetOthers(archive.trees);
    this.#chunks = new ChunkReader(archive, trees, point.sizeBytes);
  }

  /** Found damaged, ascending. */
  get damaged(): readonly ChunkIndex[] {
    return [...this.#damaged].sort((one, other) => one - other);
  }

  /** As the index has them; behind the end of the disk none. */
  async digests(first: ChunkIndex, count: number): Promise<Uint8Array> {
    const digests = new Uint8Array(count * DIGEST_BYTES);
    for (let chunk = first; chunk < first + count; chunk += 1) {
      const length = chunkLength(chunk, this.point.sizeBytes);
      if (length <= 0) break;
      const entry = await this.#chunks.entry(chunk);
      digests.set(entry?.digest ?? zeroDigest(length), (chunk - first) * DIGEST_BYTES);
    }
    return digests;
  }

  /** As they are stored: index and content are fetched and read anew, whatever was read before; of
   * what is damaged none. */
  async digestsOfContent(first: ChunkIndex, count: number): Promise<Uint8Array> {
    const { sizeBytes } = this.point;
    const digests = new Uint8Array(count * DIGEST_BYTES);
    const reader = this.#newReader();
    const end = Math.min(first + count, chunkCount(sizeBytes));
    for (let at = first; at < end; ) {
      const next = Math.min(end, (regionOf(at) + 1) * LEAF_CHUNKS);
      const chunks = Array.from({ length: next - at }, (_, i) => at + i);
      await this.#readNoting(reader, chunks, (chunk, bytes) =>
        digests.set(digestOf(bytes), (chunk - first) * DIGEST_BYTES),
      );
      at = next;
    }
    return digests;
  }

  /** Reads the chunks that stand in these packs, named in hex, and notes those that are damaged;
   * returns these. `turn` is waited for before each region. Regions whose index is damaged are left
   * out: sending their chunks would not mend it. */
  async recheck(
    packs: ReadonlySet<string>,
    turn: () => Promise<void>,
  ): Promise<{ readonly chunks: number; readonly regionsLeftOut: number }> {
    const trees = new PointTrees(this.#archive, this.point.trees);
    const reader = new ChunkReader(this.#archive, trees, this.point.sizeBytes);
    const numbers = new Set<number>();
    for (const tree of trees.trees) {
      for (const number of await numbersIn(tree, packs)) numbers.add(number);
    }
    const isMeant = ({ chunk, pieces }: LeafEntry): boolean =>
      chunkLength(chunk, this.point.sizeBytes) > 0 &&
      pieces.some(({ place }) => place !== null && numbers.has(place.pack));
    let [chunks, regionsLeftOut] = [0, 0];
    for await (const region of trees.regions()) {
      await turn();
      try {
        const entries = [...(await reader.entries(region)).values()].filter(isMeant);
        if (entries.length === 0) continue;
        const meant = entries.map(({ chunk }) => chunk);
        chunks += await this.#readNoting(reader, meant, () => {});
      } catch (error) {
        if (!DAMAGE.has(codeOf(error) ?? '')) throw error;
        regionsLeftOut += 1;
      }
    }
    return { chunks, regionsLeftOut };
  }

  /** Null: it is not there, or damaged. */
  async chunk(chunk: ChunkIndex): Promise<Uint8Array | null> {
    const length = chunkLength(chunk, this.point.sizeBytes);
    if (length <= 0) return null;
    return (await this.#chunks.chunk(chunk)) ?? new Uint8Array(length);
  }

  /** Chunks of one region; returns how many are damaged. */
  async #readNoting(
    reader: ChunkReader,
    chunks: readonly ChunkIndex[],
    put: (chunk: ChunkIndex, bytes: Uint8Array) => void,
  ): Promise<number> {
    const failed: unknown[] = [];
    let damaged = 0;
    await reader.read(chunks, {
      put,
      fail: (chunk, error) => {
        if (!DAMAGE.has(codeOf(error) ?? '')) {
          failed.push(error);
          return;
        }
        damaged += 1;
        if (this.#damaged.size < DAMAGED_MAX) this.#damaged.add(chunk);
      },
      wants: () => false,
    });
    if (failed.length > 0) throw failed[0];
    return damaged;
  }

  #newReader(): ChunkReader {
    const trees = new PointTrees(this.#archive, this.point.trees);
    return new ChunkReader(this.#archive, trees, this.point.sizeBytes);
  }
}
