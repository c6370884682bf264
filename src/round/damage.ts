// Blocks that the local disk cannot read any more (H20, H21). Clean ones are taken from the target,
// which has the same; dirty ones keep, in the point, what the target had before: the point is
// `damaged`, names the chunks, and those blocks stay dirty. A target without a point has nothing
// before: zeroes.
import { digestOf } from '../base/digest.js';
import { BLOCK_BYTES, BLOCKS_PER_CHUNK, type ChunkIndex } from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import { DAMAGED_CHUNKS_MAX, type Target } from '../target/target.js';
import { isUnchanged } from './outflow.js';
import { RoundError } from './parts.js';

/** A chunk of a frozen set with blocks that could not be read. */
export interface Damage {
  readonly chunk: ChunkIndex;
  /** Blocks that could not be read. */
  readonly unreadable: number;
  /** Of all its blocks, those that are dirty in this round. */
  readonly mask: number;
}

/** Fills the unreadable blocks of `bytes` (the whole chunk) as the target has them. Error
 * ROUND_UNREADABLE when it cannot tell. */
export async function mend(
  target: Target,
  from: PointRef | null,
  damage: Damage,
  bytes: Uint8Array,
  known: Uint8Array | null,
): Promise<void> {
  const before =
    from === null ? new Uint8Array(bytes.length) : await target.chunk(damage.chunk, from);
  const trusted = known === null || from === null;
  const whole = before !== null && (trusted || isUnchanged(digestOf(before), known));
  if (before?.length !== bytes.length || !whole) {
    const { name } = target;
    throw new RoundError({ code: 'ROUND_UNREADABLE', target: name, chunk: damage.chunk });
  }
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    if ((damage.unreadable & (1 << block)) === 0) continue;
    const at = block * BLOCK_BYTES;
    bytes.set(before.subarray(at, at + BLOCK_BYTES), at);
  }
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
