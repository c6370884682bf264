// A set of chunks of one disk, one bit each: those that must be sent whole, whatever the table says
// (a suspect target, H28). 2 MiB a TiB, allocated when the first one joins.
import { type ChunkIndex, chunkCount } from '../base/units.js';

export class ChunkSet {
  readonly #sizeBytes: number;
  #bits: Uint8Array | null = null;
  #count = 0;

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes;
  }

  get count(): number {
    return this.#count;
  }

  add(chunk: ChunkIndex): void {
    this.#bits ??= new Uint8Array(Math.ceil(chunkCount(this.#sizeBytes) / 8));
    if (this.has(chunk)) return;
    this.#bits[chunk >>> 3] = (this.#bits[chunk >>> 3] ?? 0) | (1 << (chunk & 7));
    this.#count += 1;
  }

  delete(chunk: ChunkIndex): void {
    if (this.#bits === null || !this.has(chunk)) return;
    this.#bits[chunk >>> 3] = (this.#bits[chunk >>> 3] ?? 0) & ~(1 << (chunk & 7));
    this.#count -= 1;
  }

  has(chunk: ChunkIndex): boolean {
    return this.#bits !== null && ((this.#bits[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
  }

  /** Members >= `from`, ascending. */
  *from(from: ChunkIndex): Generator<ChunkIndex> {
    const bits = this.#bits;
    if (bits === null) return;
    for (let chunk = from; chunk < bits.length * 8; chunk += 1) {
      if ((chunk & 7) === 0 && bits[chunk >>> 3] === 0) {
        chunk += 7;
        continue;
      }
      if (this.has(chunk)) yield chunk;
    }
  }
}
