// Blocks that the local disk cannot read any more (H20, H21). Clean ones are taken from the target,
// which has the same, if the chunk that it gives is what the digest says; dirty ones keep, in the
// point, what the target had before: the point is `damaged`, names the chunks, and those blocks
// stay dirty. Where nobody can verify what the target has, all unreadable blocks count as lost, and
// the point has what the target's disk has: nothing there is overwritten by less. Zeroes only where
// there is nothing before: a first copy, behind the end of a target that has not grown yet, a chunk
// that the target cannot read either. No round is refused for it.
import { digestOf } from '../base/digest.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, type ChunkIndex } from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import { DAMAGED_CHUNKS_MAX, type Target } from '../target/target.js';
import { isUnchanged } from './outflow.js';

/** A chunk of a frozen set with blocks that could not be read. */
export interface Damage {
  readonly chunk: ChunkIndex;
  /** Blocks that could not be read. */
  readonly unreadable: number;
  /** Of all its blocks, those that are dirty in this round. */
  readonly mask: number;
}

/** Fills the unreadable blocks of `bytes` (the whole chunk) as the target has them; returns those
 * that are lost: dirty, or of content that nobody has verified. `known`: the chunk's digest at the
 * target's point. */
export async function mend(
  target: Target,
  from: PointRef | null,
  damage: Damage,
  bytes: Uint8Array,
  known: Uint8Array | null,
): Promise<number> {
  const before = from === null ? null : await target.chunk(damage.chunk, from);
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    if ((damage.unreadable & (1 << block)) === 0) continue;
    const [at, end] = [block * BLOCK_BYTES, Math.min((block + 1) * BLOCK_BYTES, bytes.length)];
    // A chunk that is longer since a growth was short before.
    bytes.fill(0, at, end);
    if (before !== null) bytes.set(before.subarray(at, end), at);
  }
  const verified = before !== null && isUnchanged(digestOf(before), known);
  return verified ? damage.unreadable & damage.mask : damage.unreadable;
}

/** The chunks of a round that lost content, for the point and for status. */
export class DamageList {
  readonly #named: ChunkIndex[] = [];
  #count = 0;

  add(chunk: ChunkIndex): void {
    this.#count += 1;
    if (this.#named.length < DAMAGED_CHUNKS_MAX) this.#named.push(chunk);
  }

  get count(): number {
    return this.#count;
  }

  get named(): readonly ChunkIndex[] {
    return this.#named;
  }
}
