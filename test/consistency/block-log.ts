// What the clients of a disk did, per 4 KiB block: each operation with the stamps of its issue and
// its answer. A stamp is a number from one monotonic source for all who take part (threads and
// processes of one machine: `systemStamp`; the simulator: its own counter). Of two operations one
// is surely the later only if it was issued after the other had ended. The disk may grow: what an
// operation covered is told by the size at its issue.
import { assert } from '../../src/base/assert.js';
import { BLOCK_BYTES, blockCount } from '../../src/base/units.js';
import { makeBlock } from './block.js';

export type Stamp = number;

/** Nanoseconds of the machine's monotonic clock, the same for all its processes. */
export const systemStamp = (): Stamp => Number(process.hrtime.bigint());

/** 'zero' is WRITE_ZEROES: exact. 'trim' is advice: afterwards the old content or zeroes. */
export type OperationKind = 'write' | 'zero' | 'trim';

/** One operation as data: it can be sent between processes and merged with `add`. */
export interface OperationRecord {
  readonly kind: OperationKind;
  readonly client: number;
  /** Names the content of a write, with the client and the block. 0 for others. */
  readonly version: number;
  readonly firstBlock: number;
  readonly blocks: number;
  readonly issuedAt: Stamp;
  /** Stamp of the answer "done"; infinite while there is none, and for ever after a failure. */
  answeredAt: Stamp;
  /** After this stamp it changes nothing any more: its answer, or the end of its connection. */
  endedAt: Stamp;
}

export interface BlockLogOptions {
  /** At the beginning; `grow` changes it. */
  readonly sizeBytes: number;
  readonly seed: number;
  /** Content before the first operation; null: zeroes. Default: all zeroes. */
  readonly base?: (block: number) => Uint8Array | null;
  readonly stamp?: () => Stamp;
}

export class BlockLog {
  readonly seed: number;
  /** Before everything that is in it. */
  readonly createdAt: Stamp;
  /** Oldest first; each counts for what is issued from its stamp on. */
  readonly #sizes: { readonly from: Stamp; readonly sizeBytes: number }[];
  readonly #base: (block: number) => Uint8Array | null;
  readonly #stamp: () => Stamp;
  readonly #records: OperationRecord[] = [];
  readonly #ofBlock = new Map<number, OperationRecord[]>();
  readonly #versions = new Map<number, number>();

  constructor(options: BlockLogOptions) {
    this.#sizes = [{ from: Number.NEGATIVE_INFINITY, sizeBytes: options.sizeBytes }];
    this.seed = options.seed;
    this.#base = options.base ?? (() => null);
    this.#stamp = options.stamp ?? systemStamp;
    this.createdAt = this.#stamp();
  }

  /** Of the disk as clients see it now. */
  get sizeBytes(): number {
    return this.#sizes.at(-1)?.sizeBytes ?? 0;
  }

  get blocks(): number {
    return blockCount(this.sizeBytes);
  }

  /** From now on the disk has this size; what is new is zeroes. To be called while no client of the
   * smaller disk has anything under way. */
  grow(sizeBytes: number): void {
    assert(sizeBytes >= this.sizeBytes, 'a disk only grows');
    this.#sizes.push({ from: this.#stamp(), sizeBytes });
  }

  /** Now, by the source of stamps. */
  stamp(): Stamp {
    return this.#stamp();
  }

  /** To be called before the first byte leaves the client. Its content: `bytesOf`. */
  write(firstBlock: number, blocks: number, client = 0): OperationRecord {
    const version = (this.#versions.get(client) ?? 0) + 1;
    this.#versions.set(client, version);
    return this.#issue('write', firstBlock, blocks, client, version);
  }

  /** The same content to the same place once more: a round may skip it, never mistake it. */
  rewrite(earlier: OperationRecord): OperationRecord {
    assert(earlier.kind === 'write', 'content is written again');
    const { firstBlock, blocks, client, version } = earlier;
    return this.#issue('write', firstBlock, blocks, client, version);
  }

  zero(firstBlock: number, blocks: number, client = 0): OperationRecord {
    return this.#issue('zero', firstBlock, blocks, client, 0);
  }

  trim(firstBlock: number, blocks: number, client = 0): OperationRecord {
    return this.#issue('trim', firstBlock, blocks, client, 0);
  }

  /** To be called when the answer "done" has been read. */
  answered(operation: OperationRecord): void {
    operation.answeredAt = this.#stamp();
    operation.endedAt = operation.answeredAt;
  }

  /** The answer was an error, or none will come: it happened in each block, or it did not. */
  gaveUp(operation: OperationRecord): void {
    operation.endedAt = Math.min(operation.endedAt, this.#stamp());
  }

  /** The server of this client's connection has ended: what is open takes no effect any more. */
  disconnected(client: number): void {
    for (const one of this.#records) if (one.client === client) this.gaveUp(one);
  }

  /** Bytes of a write, for its whole range. */
  bytesOf(operation: OperationRecord): Uint8Array {
    const from = operation.firstBlock * BLOCK_BYTES;
    const end = Math.min(this.#sizeAt(operation), from + operation.blocks * BLOCK_BYTES);
    const bytes = new Uint8Array(end - from);
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      bytes.set(this.blockOf(operation, operation.firstBlock + at / BLOCK_BYTES), at);
    }
    return bytes;
  }

  /** What a write put into one block: as much as the disk had of it then. */
  blockOf(operation: OperationRecord, block: number): Uint8Array {
    const { client, version } = operation;
    const length = this.lengthOf(block, this.#sizeAt(operation));
    return makeBlock({ seed: this.seed, client, block, version }, length);
  }

  /** Bytes of a block that exist: 4 KiB but for the last. */
  lengthOf(block: number, sizeBytes = this.sizeBytes): number {
    return Math.min(BLOCK_BYTES, sizeBytes - block * BLOCK_BYTES);
  }

  /** Every length that the block has had, without repetition, the shortest first. */
  lengthsOf(block: number): readonly number[] {
    const lengths = this.#sizes.map(({ sizeBytes }) => this.lengthOf(block, sizeBytes));
    return [...new Set(lengths)].filter((length) => length > 0);
  }

  baseOf(block: number): Uint8Array | null {
    return this.#base(block);
  }

  /** All operations on a block, in order of issue. */
  operationsOn(block: number): readonly OperationRecord[] {
    const all = this.#ofBlock.get(block) ?? [];
    return all.toSorted((a, b) => a.issuedAt - b.issuedAt);
  }

  /** Everything recorded, to be sent to another process. */
  records(): readonly OperationRecord[] {
    return this.#records;
  }

  /** Takes over an operation that another process recorded, with its own clients' numbers. */
  add(record: OperationRecord): void {
    const { firstBlock, blocks } = record;
    assert(firstBlock >= 0 && blocks > 0 && firstBlock + blocks <= this.blocks, 'on the disk');
    this.#records.push(record);
    for (let block = firstBlock; block < firstBlock + blocks; block += 1) {
      const known = this.#ofBlock.get(block);
      if (known) known.push(record);
      else this.#ofBlock.set(block, [record]);
    }
  }

  #sizeAt({ issuedAt }: OperationRecord): number {
    return this.#sizes.findLast(({ from }) => from <= issuedAt)?.sizeBytes ?? 0;
  }

  #issue(
    kind: OperationKind,
    firstBlock: number,
    blocks: number,
    client: number,
    version: number,
  ): OperationRecord {
    const open = { answeredAt: Number.POSITIVE_INFINITY, endedAt: Number.POSITIVE_INFINITY };
    const issuedAt = this.#stamp();
    const record = { kind, client, version, firstBlock, blocks, issuedAt, ...open };
    this.add(record);
    return record;
  }
}
