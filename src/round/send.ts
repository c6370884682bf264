// Ladder step 5: read, hash, skip, pack, send the chunks of a frozen set, pipelined with bounded
// memory. A chunk is released as soon as it is skipped, or durable at the target. What the target
// asks for whole is sent in the same round (H28), what it still has staged is only named (H31), and
// what the disk cannot read does not end the round (H21).
import { BufferPool, mapAhead } from '../base/ahead.js';
import { digestOf } from '../base/digest.js';
import {
  BLOCKS_PER_CHUNK,
  CHUNK_BYTES,
  type ChunkIndex,
  chunkCount,
  chunkLength,
  chunkMask,
  DIGEST_BYTES,
  MIB,
} from '../base/units.js';
import type { PointRef } from '../lineage/lineage.js';
import type { Target } from '../target/target.js';
import type { BlockMap } from '../tracking/block-map.js';
import type { ChunkSet } from '../tracking/chunk-set.js';
import type { FrozenSet } from '../volume/volume.js';
import { DamageList, mend } from './damage.js';
import { type HeldChunks, heldChunks } from './held-chunks.js';
import { type KnownDigests, knownDigests } from './known-digests.js';
import { isUnchanged, Outflow } from './outflow.js';
import { type RoundCounts, RoundError, type RoundParts, spillFull } from './parts.js';

/** Chunks read and hashed together, and how many such groups are under way. */
const GROUP_CHUNKS = MIB / CHUNK_BYTES;
const GROUPS_AHEAD = 4;
/** Damaged chunks of one round that are logged by name; status counts them all. */
const DAMAGE_LOGGED_MAX = 10;

/** A group of chunks in memory: chunk i at i x 64 KiB of `bytes`. */
interface ReadGroup {
  readonly chunks: readonly ChunkIndex[];
  readonly bytes: Uint8Array;
  readonly digests: Uint8Array;
  /** Masks of unreadable blocks, of the chunks that have any. */
  readonly unreadable: ReadonlyMap<ChunkIndex, number>;
}

export interface SendPlan {
  readonly frozen: FrozenSet;
  readonly from: PointRef | null;
  /** Chunks that go whole, whatever the table says (H28). */
  readonly forced: ChunkSet;
  /** Chunks whose marked blocks go though they did not change: they are wanted elsewhere. */
  readonly moved: ChunkSet;
  readonly counts: RoundCounts;
  readonly signal: AbortSignal;
}

export interface Sent {
  readonly frames: number;
  readonly indexDigest: Uint8Array;
}

export class Sending {
  readonly damage = new DamageList();
  readonly #parts: RoundParts;
  readonly #target: Target;
  readonly #plan: SendPlan;
  readonly #outflow: Outflow;
  readonly #known: KnownDigests;
  readonly #held: HeldChunks;

  constructor(parts: RoundParts, target: Target, plan: SendPlan) {
    const { sizeBytes } = parts.resourceFile.state;
    this.#parts = parts;
    this.#target = target;
    this.#plan = plan;
    this.#known = knownDigests(parts.table, target, plan.from, sizeBytes);
    this.#held = heldChunks(target, plan.frozen.map, sizeBytes);
    this.#outflow = new Outflow(target, parts.compute, (chunks) => {
      for (const chunk of chunks) plan.frozen.release(chunk);
    });
  }

  /** Sends what of the frozen set differs from the target; fills parts.entries for step 7. */
  async all(): Promise<Sent> {
    const { frozen, signal } = this.#plan;
    const pool = new BufferPool(GROUP_CHUNKS * CHUNK_BYTES);
    const read = (chunks: readonly ChunkIndex[]): Promise<ReadGroup> =>
      readGroup(this.#parts, frozen, chunks, pool.take());
    await this.#parts.entries.empty();
    return this.#orSettle(async () => {
      for await (const group of mapAhead(groupsOf(frozen.map), GROUPS_AHEAD, read)) {
        if (signal.aborted) throw stopped(this.#parts);
        for (let at = 0; at < group.chunks.length; at += 1) await this.#chunk(group, at);
        pool.give(group.bytes);
        await this.#sendWanted();
      }
      return this.#finish();
    });
  }

  /** The target did not commit because it wants chunks whole. */
  again(): Promise<Sent> {
    return this.#orSettle(async () => {
      if (!(await this.#sendWanted())) {
        const text = 'it wants chunks and names none';
        const { target } = this.#parts;
        throw new RoundError({ code: 'ROUND_REFUSED', target, reason: 'drift', text });
      }
      return this.#finish();
    });
  }

  async #finish(): Promise<Sent> {
    for (;;) {
      const sent = await this.#outflow.finish();
      if (!(await this.#sendWanted())) return sent;
    }
  }

  async #orSettle<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      await this.#outflow.settle();
      throw error;
    } finally {
      this.#plan.counts.sentBytes = this.#outflow.blockBytes;
      this.#plan.counts.reusedBytes = this.#outflow.reusedBytes;
    }
  }

  async #chunk(group: ReadGroup, at: number): Promise<void> {
    const { frozen, forced, moved, counts } = this.#plan;
    const chunk = group.chunks[at] ?? 0;
    const length = chunkLength(chunk, this.#sizeBytes);
    const bytes = group.bytes.subarray(at * CHUNK_BYTES, at * CHUNK_BYTES + length);
    const unreadable = group.unreadable.get(chunk) ?? 0;
    let digest: Uint8Array = group.digests.slice(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
    counts.readBytes += length;
    counts.doneBytes += length;
    const known = await this.#known.of(chunk);
    if (unreadable !== 0) digest = await this.#mend(chunk, unreadable, bytes, known);
    const isSame = isUnchanged(digest, known);
    const isMoved = moved.has(chunk);
    // Of a moved chunk only some blocks are marked: when it is not what the target has, all go.
    const whole = forced.has(chunk) || (isMoved && !isSame);
    if (!whole && !isMoved && isSame) {
      frozen.release(chunk);
      counts.skippedBytes += length;
      if (!this.#known.fromTable) this.#parts.entries.add(chunk, digest);
      return;
    }
    this.#parts.entries.add(chunk, digest);
    const all = chunkMask(chunk, this.#sizeBytes);
    const held = await this.#held.of(chunk);
    // Of a chunk that could not be read whole, all goes: what was mended is not in its dirty
    // blocks.
    const mask = whole || unreadable !== 0 ? all : frozen.map.chunkMask(chunk);
    const wanted = whole ? all : isMoved ? mask : 0;
    if (held !== null && isUnchanged(digest, held.digest) && (wanted & ~held.mask) === 0) {
      await this.#outflow.reuse(held);
      counts.reusedBytes = this.#outflow.reusedBytes;
      return;
    }
    await this.#outflow.add(chunk, mask, digest, bytes);
    counts.sentBytes = this.#outflow.blockBytes;
  }

  /** The digest of a chunk whose unreadable blocks are as the target has them (H20, H21). */
  async #mend(
    chunk: ChunkIndex,
    unreadable: number,
    bytes: Uint8Array,
    known: Uint8Array | null,
  ): Promise<Uint8Array> {
    const mask = this.#plan.frozen.map.chunkMask(chunk);
    const damage = { chunk, unreadable, mask };
    const lost = await mend(this.#target, this.#plan.from, damage, bytes, known);
    if (lost !== 0) {
      this.damage.add(chunk);
      this.#plan.counts.damagedChunks += 1;
      // They stay dirty: pending is published without them only after they are in it (step 9).
      markBlocks(this.#parts, chunk, lost);
      if (this.damage.count <= DAMAGE_LOGGED_MAX) {
        const facts = { chunk, offset: chunk * CHUNK_BYTES, blocks: lost };
        this.#parts.log.error('blocks cannot be read; the point keeps what they had', facts);
      }
    }
    return digestOf(bytes);
  }

  /** H28: what had changed at the target goes whole, as of the cut. False: nothing was wanted. What
   * a guest has overwritten since it was released is for the next round. */
  async #sendWanted(): Promise<boolean> {
    // Named twice after a resumed session.
    const chunks = chunkCount(this.#sizeBytes);
    const wanted = [...new Set(this.#target.takeWanted())]
      .filter((chunk) => chunk < chunks)
      .sort((a, b) => a - b);
    if (wanted.length === 0) return false;
    const { counts } = this.#plan;
    const { log, entries } = this.#parts;
    const sent = new Map<ChunkIndex, Uint8Array>();
    const set = new Set(wanted);
    await entries.replay((chunk, digest) => {
      if (set.has(chunk)) sent.set(chunk, digest.slice());
    });
    counts.driftChunks += wanted.length;
    log.warn('chunks had changed at the target; sent whole', { chunks: wanted.length });
    const bytes = new Uint8Array(CHUNK_BYTES);
    let lost = 0;
    for (const chunk of wanted) {
      if (this.#plan.signal.aborted) throw stopped(this.#parts);
      const content = bytes.subarray(0, chunkLength(chunk, this.#sizeBytes));
      const digest = sent.get(chunk) ?? null;
      const all = chunkMask(chunk, this.#sizeBytes);
      if (digest !== null && (await this.#readWanted(chunk, digest, content))) {
        await this.#outflow.add(chunk, all, digest, content);
      } else {
        lost += 1;
        markBlocks(this.#parts, chunk, all);
      }
    }
    if (lost === 0) return true;
    throw new RoundError({ code: 'ROUND_DRIFT', target: this.#parts.target, chunks: lost });
  }

  /** True: `content` is the chunk as of the cut, for its digest says so. */
  async #readWanted(chunk: ChunkIndex, digest: Uint8Array, content: Uint8Array): Promise<boolean> {
    const read = await this.#plan.frozen.readIfHeld(chunk, content);
    if (read === 'failed') throw spillFull(this.#parts);
    if (read === 'released') {
      await this.#parts.volume.device.readAside(chunk * CHUNK_BYTES, content);
    }
    return isUnchanged(digestOf(content), digest);
  }

  get #sizeBytes(): number {
    return this.#parts.resourceFile.state.sizeBytes;
  }
}

const stopped = (parts: RoundParts) =>
  new RoundError({ code: 'ROUND_STOPPED', target: parts.target });

/** Marks blocks of a chunk for the target's next round. */
export function markBlocks(parts: RoundParts, chunk: ChunkIndex, mask: number): void {
  const pending = parts.volume.pending(parts.slot);
  for (let block = 0; block < BLOCKS_PER_CHUNK; block += 1) {
    const at = chunk * BLOCKS_PER_CHUNK + block;
    if ((mask & (1 << block)) !== 0) pending.mark(at, at);
  }
}

async function readGroup(
  parts: RoundParts,
  frozen: FrozenSet,
  chunks: readonly ChunkIndex[],
  bytes: Uint8Array,
): Promise<ReadGroup> {
  const { sizeBytes } = parts.resourceFile.state;
  const unreadable = new Map<ChunkIndex, number>();
  await Promise.all(
    chunks.map(async (chunk, at) => {
      const into = bytes.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES);
      const read = await frozen.read(chunk, into);
      if (read === 'failed') throw spillFull(parts);
      if (read !== 'read') unreadable.set(chunk, read.unreadable);
    }),
  );
  const lengths = chunks.map((chunk) => chunkLength(chunk, sizeBytes));
  const digests = await parts.compute.digests(bytes, lengths);
  return { chunks, bytes, digests, unreadable };
}

/** The set chunks of a map in ascending groups. */
export function* groupsOf(map: BlockMap): Generator<readonly ChunkIndex[]> {
  let group: ChunkIndex[] = [];
  for (let chunk = map.nextChunk(0); chunk >= 0; chunk = map.nextChunk(chunk + 1)) {
    group.push(chunk);
    if (group.length === GROUP_CHUNKS) {
      yield group;
      group = [];
    }
  }
  if (group.length > 0) yield group;
}
