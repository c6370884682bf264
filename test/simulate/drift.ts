// Replicas whose disks change behind their daemons' backs (H28). Nobody can know of it before
// somebody reads the chunk: until a round brings another content of it, what has changed is left
// out of every judgement of the disk; from then on it must be right again, for a chunk that does
// not come out as its digest says is asked for whole before the commit (C2). What is left at the
// end is for `verify --deep` to find. Offsets are bytes.
import { equalBytes } from '../../src/base/digest.js';
import { CHUNK_BYTES, type ChunkIndex } from '../../src/base/units.js';

/** The disk at a point. */
interface Cut {
  readonly image: Uint8Array;
}

interface Drift {
  readonly offset: number;
  /** Points at which the disk has stood with it; copies of the machine may stand there still. */
  readonly at: Set<Cut>;
  last: Cut;
  isOver: boolean;
}

export class Drifts {
  readonly #of = new Map<string, Drift[]>();

  /** A byte of the disk of `name`, which stands at `at`, is not what it was. */
  add(name: string, offset: number, at: Cut): void {
    const drift = { offset, at: new Set([at]), last: at, isOver: false };
    this.#of.set(name, [...this.#list(name), drift]);
  }

  /** `name` stands at `cut` now: chunks that the round has changed have been mended. */
  applied(name: string, cut: Cut): void {
    for (const drift of this.#list(name)) {
      drift.isOver = !isThere(drift, cut);
      if (drift.isOver) continue;
      drift.at.add(cut);
      drift.last = cut;
    }
  }

  /** The disk of `name`, at `cut`, without its drift: the same bytes where there is none. */
  without(name: string, disk: Uint8Array, cut: Cut): Uint8Array {
    const left = this.#list(name).filter((drift) => isThere(drift, cut));
    if (left.length === 0) return disk;
    const sound = disk.slice();
    for (const { offset } of left) {
      const chunk = chunkOf(offset);
      sound.set(content(cut, chunk).subarray(0, sound.length - from(chunk)), from(chunk));
    }
    return sound;
  }

  /** Where the disk of `name` is not as at `cut` and may be so. */
  places(name: string, disk: Uint8Array, cut: Cut): number[] {
    const offsets = new Set(this.#list(name).map(({ offset }) => offset));
    return [...offsets].filter((offset) => disk[offset] !== cut.image[offset]);
  }

  #list(name: string): readonly Drift[] {
    return this.#of.get(name) ?? [];
  }
}

const from = (chunk: ChunkIndex): number => chunk * CHUNK_BYTES;

const chunkOf = (offset: number): ChunkIndex => Math.floor(offset / CHUNK_BYTES);

const content = ({ image }: Cut, chunk: ChunkIndex): Uint8Array =>
  image.subarray(from(chunk), from(chunk + 1));

/** Between the two points nothing has made the target look at the chunk. */
const isThere = ({ offset, at, last, isOver }: Drift, cut: Cut): boolean =>
  at.has(cut) ||
  (!isOver && equalBytes(content(last, chunkOf(offset)), content(cut, chunkOf(offset))));
