// Does an image hold what a power failure may leave of a disk's history? (W3.) Each sector of 512
// bytes is for itself: it shows the content of any operation, or of the base, that no later
// operation that is durable has overwritten. Durable is what was answered before the last answered
// flush was issued, and what was answered with FUA. Or it begins with one such content and ends
// with another: the kernel copies what is written into a page that may just be on its way to the
// disk for what it held before, so a sector can leave between two bytes of the copy (seen on Linux
// 6.18, one in some thousand sectors of pages written back while they are written). Stamps as in
// block-log.ts, offsets are bytes.
import { BLOCK_BYTES, SECTOR_BYTES } from '../../src/base/units.js';
import type { BlockLog, OperationRecord, Stamp } from './block-log.js';

export interface Durable {
  /** When the latest flush that was answered was issued. */
  readonly flushedAt: Stamp;
  /** What was answered with FUA. */
  readonly fua: ReadonlySet<OperationRecord>;
}

export interface BadSector {
  readonly block: number;
  /** In the block. */
  readonly sector: number;
  /** 'missing': a content that something durable had overwritten; 'alien': none of this history. */
  readonly kind: 'missing' | 'alien';
}

/** All sectors of `image` that a power failure cannot have left. */
export function checkSectors(image: Uint8Array, log: BlockLog, durable: Durable): BadSector[] {
  const found: BadSector[] = [];
  for (let block = 0; block < log.blocks; block += 1) {
    const from = block * BLOCK_BYTES;
    const bytes = image.subarray(from, from + log.lengthOf(block));
    const contents = new Contents(log, block, durable);
    for (let at = 0; at < bytes.length; at += SECTOR_BYTES) {
      const kind = contents.judge(bytes.subarray(at, at + SECTOR_BYTES), at);
      if (kind !== 'right') found.push({ block, sector: at / SECTOR_BYTES, kind });
    }
  }
  return found;
}

/** What one block was given, newest first, the base last; null: zeroes. */
class Contents {
  readonly #all: { isLegal: boolean; bytes: () => Uint8Array | null }[];

  constructor(log: BlockLog, block: number, { flushedAt, fua }: Durable) {
    const operations = log.operationsOn(block);
    const lasting = operations.filter(
      (one) =>
        one.kind !== 'trim' &&
        Number.isFinite(one.answeredAt) &&
        (one.answeredAt < flushedAt || fua.has(one)),
    );
    const latest = Math.max(...lasting.map(({ issuedAt }) => issuedAt));
    this.#all = operations.toReversed().map((one) => ({
      isLegal: one.endedAt >= latest,
      bytes: once(() => (one.kind === 'write' ? log.blockOf(one, block) : null)),
    }));
    this.#all.push({ isLegal: lasting.length === 0, bytes: () => log.baseOf(block) });
  }

  /** Of the sector at `at` of the block. */
  judge(sector: Uint8Array, at: number): 'right' | BadSector['kind'] {
    let kind: BadSector['kind'] = 'alien';
    let [beginsLike, endsLike] = [0, 0];
    for (const { isLegal, bytes } of this.#all) {
      const content = bytes()?.subarray(at, at + SECTOR_BYTES) ?? new Uint8Array(sector.length);
      if (Buffer.compare(content, sector) === 0) {
        if (isLegal) return 'right';
        kind = 'missing';
      } else if (isLegal) {
        beginsLike = Math.max(beginsLike, alike(content, sector));
        endsLike = Math.max(endsLike, alike(content.toReversed(), sector.toReversed()));
      }
    }
    const isMixed = kind === 'alien' && beginsLike + endsLike >= sector.length;
    return isMixed ? 'right' : kind;
  }
}

/** How many bytes at the beginning are the same. */
function alike(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at < 0 ? a.length : at;
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
