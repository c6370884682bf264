// Disk images of the round benchmark: making them, changing them, and comparing two of them into
// the bound a round is held to: the changed 4 KiB blocks in disk order, cut at 1 MiB, zstd -3
// each. The comparison reads both images and knows nothing of who wrote what. Sizes are bytes.
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { Compressor } from 'zstd-napi';
import type { Random } from '../src/base/random.js';
import { BLOCK_BYTES, CHUNK_BYTES, MIB } from '../src/base/units.js';
import type { GuestWrite } from './guest-writes.js';
import type { Content } from './round-content.js';

const EXTENT_MIB_MAX = 64;

/** Makes a sparse image of a disk in use: runs of 1 to 64 MiB, `usedPercent` of them data, the
 * others holes. Returns the bytes of data. */
export function makeImage(
  path: string,
  sizeBytes: number,
  random: Random,
  content: Content,
  usedPercent: number,
): number {
  const fd = openSync(path, 'wx');
  try {
    ftruncateSync(fd, sizeBytes);
    const piece = Buffer.alloc(MIB);
    let usedBytes = 0;
    for (let at = 0; at < sizeBytes; ) {
      const end = Math.min(sizeBytes, at + (1 + random.below(EXTENT_MIB_MAX)) * MIB);
      const used = random.below(100) < usedPercent;
      for (; at < end; at += MIB) {
        if (!used) continue;
        content.fill(piece);
        usedBytes += writeSync(fd, piece, 0, Math.min(MIB, sizeBytes - at), at);
      }
      at = end;
    }
    return usedBytes;
  } finally {
    closeSync(fd);
  }
}

/** Copies an image by writes of 4 KiB, as a guest's would be. */
export function copyInBlocks(from: string, to: string): void {
  const [source, target] = [openSync(from, 'r'), openSync(to, 'wx')];
  try {
    const piece = Buffer.alloc(MIB);
    for (let at = 0; ; at += MIB) {
      const length = readSync(source, piece, 0, MIB, at);
      for (let block = 0; block < length; block += BLOCK_BYTES) {
        writeSync(target, piece, block, Math.min(BLOCK_BYTES, length - block), at + block);
      }
      if (length < MIB) return;
    }
  } finally {
    closeSync(source);
    closeSync(target);
  }
}

/** Whole-block writes to `count` different random places, in random order. */
export function randomWrites(
  sizeBytes: number,
  count: number,
  random: Random,
  content: Content,
): readonly GuestWrite[] {
  const places = new Set<number>();
  while (places.size < count) places.add(random.below(Math.floor(sizeBytes / BLOCK_BYTES)));
  return [...places].map((block) => ({ offset: block * BLOCK_BYTES, bytes: content.page() }));
}

export function writeDirectly(path: string, writes: readonly GuestWrite[]): void {
  const fd = openSync(path, 'r+');
  try {
    for (const { offset, bytes } of writes) writeSync(fd, bytes, 0, bytes.length, offset);
  } finally {
    closeSync(fd);
  }
}

export interface Difference {
  /** Changed blocks, raw. */
  readonly rawBytes: number;
  /** The bound: what these take as zstd -3 frames of 1 MiB. */
  readonly boundBytes: number;
  /** Chunks of 64 KiB with a changed block. */
  readonly chunkBytes: number;
  readonly chunks: ReadonlySet<number>;
}

/** Compares two images of one size. */
export function compareImages(before: string, after: string, sizeBytes: number): Difference {
  const [fdBefore, fdAfter] = [openSync(before, 'r'), openSync(after, 'r')];
  const bound = new Bound();
  const chunks = new Set<number>();
  const [old, now] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
  try {
    for (let at = 0; at < sizeBytes; at += MIB) {
      const length = readSync(fdBefore, old, 0, MIB, at);
      if (readSync(fdAfter, now, 0, MIB, at) !== length) throw new Error('sizes differ');
      if (old.compare(now, 0, length, 0, length) === 0) continue;
      for (let block = 0; block < length; block += BLOCK_BYTES) {
        const end = Math.min(length, block + BLOCK_BYTES);
        if (old.compare(now, block, end, block, end) === 0) continue;
        bound.add(now.subarray(block, end));
        chunks.add(Math.floor((at + block) / CHUNK_BYTES));
      }
    }
  } finally {
    closeSync(fdBefore);
    closeSync(fdAfter);
  }
  return { ...bound.finish(), chunkBytes: chunks.size * CHUNK_BYTES, chunks };
}

/** Compresses blocks as they come, a frame per MiB, and keeps only the sums. */
class Bound {
  readonly #compressor = new Compressor();
  readonly #frame = Buffer.alloc(MIB);
  #filled = 0;
  #rawBytes = 0;
  #boundBytes = 0;

  constructor() {
    this.#compressor.setParameters({ compressionLevel: 3 });
  }

  add(block: Uint8Array): void {
    this.#frame.set(block, this.#filled);
    this.#filled += block.length;
    this.#rawBytes += block.length;
    if (this.#filled === MIB) this.#cut();
  }

  finish(): { readonly rawBytes: number; readonly boundBytes: number } {
    if (this.#filled > 0) this.#cut();
    return { rawBytes: this.#rawBytes, boundBytes: this.#boundBytes };
  }

  #cut(): void {
    this.#boundBytes += this.#compressor.compress(this.#frame.subarray(0, this.#filled)).length;
    this.#filled = 0;
  }
}
