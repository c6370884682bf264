// What the guest knows: a file that holds, byte for byte, the disk as its export has acknowledged
// it. `cutHere` freezes it; what is acknowledged later is remembered as block numbers only.
// `compare` holds a disk against it. Offsets and lengths are bytes.
import { type FileHandle, open } from 'node:fs/promises';
import { BLOCK_BYTES, MIB } from '../src/base/units.js';
import type { NbdClient } from './nbd-client.js';

/** Pieces of 1 MiB that are read at once. */
const READS_IN_FLIGHT = 4;
const EXAMPLES_MAX = 8;

export interface Comparison {
  readonly blocks: number;
  readonly differing: number;
  /** Of the differing blocks, those that were written again after the cut. */
  readonly differingWrittenLater: number;
  /** Blocks written again after the cut, which must hold what they held at the cut. */
  readonly writtenLater: number;
  /** Offsets of the first differing blocks. */
  readonly examples: readonly number[];
}

export class Acknowledged {
  readonly sizeBytes: number;
  readonly #handle: FileHandle;
  readonly #later = new Set<number>();
  #frozen = false;

  private constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle;
    this.sizeBytes = sizeBytes;
  }

  /** `path` is a copy of the disk before its first guest. */
  static async open(path: string): Promise<Acknowledged> {
    const handle = await open(path, 'r+');
    return new Acknowledged(handle, (await handle.stat()).size);
  }

  /** A write was acknowledged. Writes that overlap are told one after the other. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (!this.#frozen) {
      await this.#handle.write(bytes, 0, bytes.length, offset);
      return;
    }
    const end = Math.ceil((offset + bytes.length) / BLOCK_BYTES);
    for (let block = Math.floor(offset / BLOCK_BYTES); block < end; block += 1) {
      this.#later.add(block);
    }
  }

  async read(offset: number, into: Buffer): Promise<void> {
    await this.#handle.read(into, 0, into.length, offset);
  }

  /** The cut: from now on the file stays as it is. */
  cutHere(): void {
    this.#frozen = true;
  }

  /** Reads the whole disk through `client` and compares every block. */
  async compare(client: NbdClient): Promise<Comparison> {
    const differing: number[] = [];
    let next = 0;
    const worker = async (): Promise<void> => {
      const [theirs, ours] = [Buffer.alloc(MIB), Buffer.alloc(MIB)];
      while (next < this.sizeBytes) {
        const offset = next;
        next += MIB;
        const length = Math.min(MIB, this.sizeBytes - offset);
        const [left, right] = [theirs.subarray(0, length), ours.subarray(0, length)];
        await Promise.all([client.read(offset, left), this.read(offset, right)]);
        if (!left.equals(right)) differing.push(...differences(left, right, offset));
      }
    };
    await Promise.all(Array.from({ length: READS_IN_FLIGHT }, worker));
    return {
      blocks: Math.ceil(this.sizeBytes / BLOCK_BYTES),
      differing: differing.length,
      differingWrittenLater: differing.filter((at) => this.#later.has(at / BLOCK_BYTES)).length,
      writtenLater: this.#later.size,
      examples: differing.sort((x, y) => x - y).slice(0, EXAMPLES_MAX),
    };
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Offsets of the blocks in which two pieces differ. */
function differences(left: Buffer, right: Buffer, offset: number): number[] {
  const found: number[] = [];
  for (let at = 0; at < left.length; at += BLOCK_BYTES) {
    const end = Math.min(left.length, at + BLOCK_BYTES);
    if (left.compare(right, at, end, at, end) !== 0) found.push(offset + at);
  }
  return found;
}
