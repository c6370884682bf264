// An old point of a ChunkSource as a Disk that is only read, for the NBD server. A read takes whole
// chunks, since only those can be verified; the last ones are held, so that small reads beside each
// other cost one. Memory: CHUNKS_HELD_MAX chunks, and what is being read. Offsets are bytes.
import { AssertionError } from '../base/assert.js';
import { CHUNK_BYTES, type ChunkIndex } from '../base/units.js';
import type { Disk, Sooner, StatusRun } from '../disk/disk.js';
import type { ChunkSource } from './chunk-source.js';

/** 4 MiB. */
const CHUNKS_HELD_MAX = 64;

export class ChunkDisk implements Disk {
  readonly readOnly = true;
  readonly contexts = [];
  readonly #source: ChunkSource;
  /** Least recently asked for first. */
  readonly #held = new Map<ChunkIndex, Promise<Uint8Array | null>>();

  /** The source stays the caller's. */
  constructor(source: ChunkSource) {
    this.#source = source;
  }

  get sizeBytes(): number {
    return this.#source.sizeBytes;
  }

  read(offset: number, into: Uint8Array): Sooner {
    return into.length === 0 ? 'done' : this.#fill(offset, into);
  }

  write(): Sooner {
    return refused();
  }

  async zero(): Promise<'done'> {
    return refused();
  }

  async trim(): Promise<void> {
    return refused();
  }

  async flush(): Promise<void> {
    // Nothing is ever written.
  }

  prefetch(): void {
    // Advice; what is read is verified then.
  }

  /** All of it is data: where zeroes are, only the digests know. */
  status(_context: string, _offset: number, length: number): readonly StatusRun[] {
    return [{ length, flags: 0 }];
  }

  async #fill(offset: number, into: Uint8Array): Promise<void> {
    const end = offset + into.length;
    // One after the other: a guest that reads much has several requests under way.
    for (let at = offset; at < end; ) {
      const chunk = Math.floor(at / CHUNK_BYTES);
      const next = Math.min(end, (chunk + 1) * CHUNK_BYTES);
      const bytes = await this.#chunk(chunk);
      const part = into.subarray(at - offset, next - offset);
      const start = chunk * CHUNK_BYTES;
      if (bytes === null) part.fill(0);
      else part.set(bytes.subarray(at - start, next - start));
      at = next;
    }
  }

  #chunk(chunk: ChunkIndex): Promise<Uint8Array | null> {
    const known = this.#held.get(chunk);
    const found = known ?? this.#source.chunk(chunk);
    this.#held.delete(chunk);
    this.#held.set(chunk, found);
    const [oldest] = this.#held.keys();
    if (this.#held.size > CHUNKS_HELD_MAX && oldest !== undefined) this.#held.delete(oldest);
    if (known === undefined) {
      // Tried again by the next read.
      found.catch(() => {
        if (this.#held.get(chunk) === found) this.#held.delete(chunk);
      });
    }
    return found;
  }
}

function refused(): never {
  throw new AssertionError('the server refuses what would write a read-only export');
}
