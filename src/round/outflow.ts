// Outflow of a round: chunks in, frames to the target, in order, with a bounded number of frames
// being built and compressed (W5) while the link is kept full (D5). Chunks that the target still
// has staged from an earlier round go as references (H31). Chunks are reported back once the target
// has them durably (ladder step 5).
import { equalBytes } from '../base/digest.js';
import { Semaphore } from '../base/sync.js';
import { BLOCK_BYTES, bitCount, type ChunkIndex } from '../base/units.js';
import { FRAME_BLOCK_BYTES_MAX, FRAME_ENTRIES_MAX, type FrameEntry } from '../format/changeset.js';
import { indexAccumulator } from '../format/changeset-index.js';
import type { Compute } from '../format/compute.js';
import { decodeFrameHeader } from '../format/frame-header.js';
import type { Target } from '../target/target.js';
import { type BuiltFrame, FrameBuilder } from './frame-builder.js';

/** Frames being compressed or handed over at once. */
const FRAMES_UNDER_WAY_MAX = 4;

export class Outflow {
  readonly #target: Target;
  readonly #compute: Compute;
  readonly #onStaged: (chunks: readonly ChunkIndex[]) => void;
  readonly #builder: FrameBuilder;
  readonly #slots = new Semaphore(FRAMES_UNDER_WAY_MAX);
  readonly #index = indexAccumulator();
  readonly #unstaged: (readonly ChunkIndex[])[] = [];
  #reuse: FrameEntry[] = [];
  #reuseBytes = 0;
  #number = 0;
  #staged = 0;
  #tail: Promise<void> = Promise.resolve();
  #failure: { error: unknown } | null = null;
  /** Raw block bytes handed over, and raw bytes that the target had already. */
  blockBytes = 0;
  reusedBytes = 0;

  constructor(
    target: Target,
    compute: Compute,
    onStaged: (chunks: readonly ChunkIndex[]) => void = () => {},
  ) {
    this.#target = target;
    this.#builder = new FrameBuilder(target.state.frameBytes);
    this.#compute = compute;
    this.#onStaged = onStaged;
  }

  /** Adds blocks `mask` of a chunk; waits when too many frames are under way. `bytes` is copied. */
  async add(chunk: ChunkIndex, mask: number, digest: Uint8Array, bytes: Uint8Array): Promise<void> {
    if (this.#builder.full || !this.#builder.follows(chunk)) await this.#send();
    this.#throwFailure();
    this.blockBytes += this.#builder.add(chunk, mask, digest, bytes);
  }

  /** Adds a chunk that the target has staged as `entry` (Target.held). */
  async reuse(entry: FrameEntry): Promise<void> {
    this.#throwFailure();
    const raw = bitCount(entry.mask & ~entry.zero) * BLOCK_BYTES;
    const full =
      this.#reuseBytes + raw > FRAME_BLOCK_BYTES_MAX || this.#reuse.length >= FRAME_ENTRIES_MAX;
    const follows = entry.chunk > (this.#reuse.at(-1)?.chunk ?? -1);
    if (full || !follows) await this.#sendReuse();
    this.#reuse.push(entry);
    this.#reuseBytes += raw;
    this.reusedBytes += raw;
  }

  /** Sends what is left and waits until the target has all of it durably. More may be added
   * afterwards, and this called again. */
  async finish(): Promise<{ frames: number; indexDigest: Uint8Array }> {
    await this.#sendReuse();
    if (!this.#builder.empty) await this.#send();
    await this.#tail;
    this.#throwFailure();
    const frames = this.#index.frames;
    while (this.#staged < frames) this.#note(await this.#target.staged(frames));
    return { frames, indexDigest: this.#index.totals().indexDigest };
  }

  /** Waits for what is under way, after an error. */
  async settle(): Promise<void> {
    await this.#tail;
  }

  async #send(): Promise<void> {
    await this.#slots.take();
    this.#throwFailure();
    const built = this.#builder.take(this.#number);
    const encoded = this.#compute.frame(built.number, built.entries, [built.blocks]);
    encoded.catch(() => undefined);
    this.#enqueue(built.entries, () => this.#handOver(built, encoded));
  }

  async #sendReuse(): Promise<void> {
    if (this.#reuse.length === 0) return;
    const [entries, bytes] = [this.#reuse, this.#reuseBytes];
    [this.#reuse, this.#reuseBytes] = [[], 0];
    await this.#slots.take();
    this.#throwFailure();
    const number = this.#number;
    this.#enqueue(entries, async () => {
      this.#index.addEntries(number, entries, bytes);
      await this.#target.reuse(number, entries);
      this.#note(await this.#target.staged(0));
    });
  }

  #enqueue(entries: readonly FrameEntry[], handOver: () => Promise<void>): void {
    this.#number += 1;
    this.#unstaged.push(entries.map((entry) => entry.chunk));
    this.#tail = this.#tail
      .then(handOver)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#slots.give());
  }

  async #handOver(built: BuiltFrame, encoded: Promise<Uint8Array>): Promise<void> {
    const frame = await encoded;
    this.#throwFailure();
    this.#index.add(decodeFrameHeader(frame, 'frame to send'), built.entries);
    await this.#target.put(built.number, frame);
    this.#note(await this.#target.staged(0));
  }

  #note(staged: number): void {
    for (; this.#staged < staged; this.#staged += 1) {
      const chunks = this.#unstaged.shift();
      if (chunks) this.#onStaged(chunks);
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

/** Whether a chunk's digest says it need not be sent; unknown is never equal (H7). */
export const isUnchanged = (digest: Uint8Array, before: Uint8Array | null): boolean =>
  before !== null && equalBytes(digest, before);
