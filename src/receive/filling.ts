// The first copy (H29, H43): what arrives goes straight to the disk, no stage, no undo; the table
// grows beside it. The round that ends it makes the first point: disk synced, table named, state
// published, in this order; before that the replica has no point and cannot be promoted.
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import type { Frame } from '../format/changeset.js';
import { indexAccumulator } from '../format/changeset-index.js';
import { decodeFrameHeader } from '../format/frame-header.js';
import { blockSpans } from '../format/frame-spans.js';
import { zeroSpan } from '../history/undo.js';
import type { Begin, Commit, CommitAnswer } from '../target/target.js';
import { pointApplied } from './apply.js';
import { refusal } from './parts.js';
import type { Receiving } from './receiving.js';
import { driftedChunks } from './verify.js';

export class Filling {
  readonly #replica: Receiving;
  readonly #begin: Begin;
  readonly #index = indexAccumulator();
  #undecided = false;

  constructor(replica: Receiving, begin: Begin) {
    this.#replica = replica;
    this.#begin = begin;
  }

  get frames(): number {
    return this.#index.frames;
  }

  /** The state began to say that the point is made, and is not known to be durable. */
  get undecided(): boolean {
    return this.#undecided;
  }

  /** Verifies (C2), writes and records one frame. */
  async write(bytes: Uint8Array, frame: Frame): Promise<void> {
    const { device, table } = this.#replica;
    const { sizeBytes } = this.#begin;
    const drifted = await driftedChunks(device, frame, sizeBytes);
    if (drifted.length > 0) {
      const text = `chunk ${drifted[0]} does not have the digest it came with`;
      throw refusal(this.#replica.parts.resourceFile.state, 'drift', text);
    }
    for (const span of blockSpans(frame, sizeBytes)) {
      if (span.bytes !== null) await device.write(span.offset, span.bytes);
      else zeroSpan(device, span.offset, span.length);
    }
    for (const entry of frame.entries) table.set(entry.chunk, entry.digest);
    this.#index.add(decodeFrameHeader(bytes, `frame ${frame.number}`), frame.entries);
  }

  async commit(commit: Commit): Promise<CommitAnswer> {
    const { device, table, parts } = this.#replica;
    const totals = this.#index.totals();
    if (this.#begin.kind !== 'round' || commit.from !== null) {
      return { outcome: 'refused', reason: 'wrong-from', text: 'a pass makes no point' };
    }
    if (totals.frames !== commit.frames || !equalBytes(totals.indexDigest, commit.indexDigest)) {
      const text = 'the index received is not the index sent';
      return { outcome: 'refused', reason: 'bad-frame', text };
    }
    await device.sync();
    await table.finishChange(this.#begin.to);
    const fingerprint = await parts.fingerprints.now();
    this.#undecided = true;
    await parts.resourceFile.update((state) => {
      const header = {
        kind: 'round' as const,
        resource: present(state.resource, 'adopted at begin'),
        round: this.#begin.round,
        from: null,
        to: this.#begin.to,
        sizeBytes: this.#begin.sizeBytes,
        consistency: commit.consistency,
      };
      const { round } = this.#begin;
      const noted = { round, damaged: [...commit.damaged], lost: [], lostChunks: 0 };
      const known = { ...state, replica: { ...state.replica, noted } };
      const next = pointApplied(known, header, { blockBytes: state.sizeBytes });
      return { ...next, replica: { ...next.replica, fingerprint } };
    });
    this.#undecided = false;
    return { outcome: 'committed' };
  }
}
