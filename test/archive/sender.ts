// A node that sends a disk of its own to an archive, as a round does, with a store in bad weather
// and a state directory that may crash.
import assert from 'node:assert/strict';
import type { Moves } from '../../src/archive/repack.js';
import { digestOf, equalBytes } from '../../src/base/digest.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import {
  BLOCK_BYTES,
  CHUNK_BYTES,
  chunkCount,
  chunkLength,
  chunkMask,
} from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import type { Secret } from '../../src/format/archive-identity.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packer } from '../../src/format/pack.js';
import type { Epoch, PointRef } from '../../src/lineage/lineage.js';
import { isUnchanged, Outflow } from '../../src/round/outflow.js';
import type { ObjectStore } from '../../src/store/store.js';
import type { ArchiveTarget } from '../../src/target/archive.js';
import { ArchiveKeep } from '../../src/target/archive-keep.js';
import { openArchiveTarget } from '../../src/target/open-archive.js';
import type { Begin } from '../../src/target/target.js';
import { type MemoryObjects, MemoryStore } from '../store/memory-store.js';
import { CrashWorld } from '../world/memory-files.js';

const RESOURCE = seededRandom(1).bytes(16);
const quiet = (): void => {};
const LOG = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => LOG };

/** A node with a disk, and what of it is dirty for the archive. */
export class Sender {
  readonly random: Random;
  readonly objects: MemoryObjects;
  readonly secret: Secret | null;
  world = new CrashWorld();
  target: ArchiveTarget | null = null;
  store: ObjectStore | null = null;
  disk: Uint8Array;
  /** Masks by chunk. */
  dirty = new Map<number, number>();
  /** Chunks of which marked blocks go though they did not change. */
  moved = new Set<number>();
  epoch: Epoch;
  number = 0;
  packBytes = 128 * 1024;
  /** Where it sends; null: to `objects`. */
  newStore: (() => Promise<ObjectStore>) | null = null;
  /** One request in so many fails. */
  stormy = 0;
  /** Chunks that could not be read at the cuts that follow. */
  damaged: readonly number[] = [];
  rule = retainLast(1000);
  nowMs = 1000;
  /** Sent whatever the archive says that it has. */
  resend: ReadonlySet<number> = new Set();

  constructor(random: Random, objects: MemoryObjects, secret: Secret | null, sizeBytes: number) {
    this.random = random;
    this.objects = objects;
    this.secret = secret;
    this.disk = new Uint8Array(sizeBytes);
    this.epoch = { id: random.bytes(16), number: 1, parent: null, node: 'a' };
    this.world.plant('/state/.made', 0);
    for (let chunk = 0; chunk < chunkCount(sizeBytes); chunk += 1) {
      this.dirty.set(chunk, chunkMask(chunk, sizeBytes));
    }
  }

  write(): void {
    const blocks = Math.ceil(this.disk.length / BLOCK_BYTES);
    for (let left = this.random.below(30); left > 0; left -= 1) {
      const block = this.random.below(blocks);
      const bytes =
        this.random.below(4) === 0
          ? new Uint8Array(BLOCK_BYTES)
          : this.random.bytes(8).slice().fill(this.random.below(256));
      const at = block * BLOCK_BYTES;
      const length = Math.min(BLOCK_BYTES, this.disk.length - at);
      for (let from = 0; from < length; from += bytes.length) {
        this.disk.set(bytes.subarray(0, Math.min(bytes.length, length - from)), at + from);
      }
      const chunk = Math.floor(block / 16);
      this.dirty.set(chunk, (this.dirty.get(chunk) ?? 0) | (1 << (block % 16)));
    }
  }

  async open(): Promise<ArchiveTarget> {
    const fails = () =>
      this.stormy > 0 && this.random.below(this.stormy) === 0
        ? this.random.below(2) === 0
          ? ('before' as const)
          : ('after' as const)
        : null;
    const made = (await this.newStore?.()) ?? null;
    const store = made ?? new MemoryStore(this.objects, { fails });
    if (this.target === null) this.store = store;
    this.target ??= await openArchiveTarget({
      name: 'offsite',
      place: store.url,
      resource: { id: RESOURCE, name: 'vm1' },
      store,
      secret: this.secret,
      storageClass: null,
      files: this.world,
      journalPath: '/state/offsite.journal',
      pack: packer({ codec: 'zstd' }),
      keep: new ArchiveKeep(
        () => ({ rule: this.rule, timezone: 'UTC' }),
        () => this.nowMs,
      ),
      nowMs: () => this.nowMs,
      random: this.random,
      log: LOG,
      packBytes: this.packBytes,
    });
    return this.target;
  }

  /** A round, or a pass and a round where there is no point yet. */
  async round(): Promise<PointRef> {
    const target = await this.open();
    const { point: from } = target.state;
    await this.#takeMoves(target);
    this.number += 1;
    const to: PointRef = { id: this.random.bytes(16), number: this.number, timeMs: this.number };
    const fill = from === null ? this.random.bytes(16) : null;
    if (fill !== null)
      await this.#send({ ...this.#begin(from, to, fill), kind: 'pass', round: fill });
    const begin = this.#begin(from, to, fill);
    const { frames, indexDigest } = await this.#send(begin);
    const commit = { round: to.id, from, to, frames, indexDigest, damaged: this.damaged };
    const answer = await target.commit({ ...commit, consistency: 'crash' });
    assert.deepEqual(answer, { outcome: 'committed' });
    this.dirty.clear();
    await this.close();
    return to;
  }

  async #takeMoves(target: ArchiveTarget): Promise<void> {
    this.moved.clear();
    if (target.state.moves !== true) return;
    for (let first: number | null = 0; first !== null; ) {
      const answer: Moves = await target.moves(first);
      for (const { chunk, mask } of answer.moves) {
        this.dirty.set(chunk, (this.dirty.get(chunk) ?? 0) | mask);
        this.moved.add(chunk);
      }
      first = answer.next;
    }
  }

  async close(): Promise<void> {
    await this.target?.close();
    this.target = null;
  }

  #begin(from: PointRef | null, to: PointRef, fill: Uint8Array | null): Begin {
    const { epoch, disk } = this;
    const facts = {
      kind: 'round' as const,
      resource: RESOURCE,
      round: to.id,
      epoch,
      from,
      to,
      fill,
    };
    return { ...facts, sizeBytes: disk.length, spaceBytes: 0, resumeAt: 0, again: false };
  }

  async #send(begin: Begin): Promise<{ frames: number; indexDigest: Uint8Array }> {
    const target = await this.open();
    await target.begin(begin);
    const outflow = new Outflow(target, inlineCompute(packer({ codec: 'zstd' })));
    const size = this.disk.length;
    try {
      for (const [chunk, mask] of [...this.dirty].sort(([one], [other]) => one - other)) {
        const bytes = this.disk.subarray(
          chunk * CHUNK_BYTES,
          chunk * CHUNK_BYTES + chunkLength(chunk, size),
        );
        const digest = digestOf(bytes).slice();
        const { digests } = await target.digests(chunk, 1);
        const isSame = isUnchanged(digest, digests);
        const isMoved = this.moved.has(chunk);
        const isWanted = this.resend.has(chunk) && begin.kind === 'round';
        if (isSame && !isMoved && !isWanted) continue;
        const whole = isMoved && !isSame ? chunkMask(chunk, size) : mask;
        const [held] = begin.from === null ? [] : await target.held(chunk, 1);
        const covers = held !== undefined && (!isMoved || (whole & ~held.mask) === 0);
        if (held && covers && equalBytes(held.digest, digest)) await outflow.reuse(held);
        else await outflow.add(chunk, whole, digest, bytes);
      }
      return await outflow.finish();
    } catch (error) {
      await outflow.settle();
      throw error;
    }
  }
}
