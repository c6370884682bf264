// A stream that is cut after so many bytes, either way: what arrives is a part of what was written,
// and nothing that was under way behind it. Knows which frames have been, at least in part, on it.
import type { ByteStream } from '../../src/net/stream.js';
import { TYPE_NUMBERS } from '../../src/peer/messages.js';

const NUMBER_OFFSET = 20;

export class CutStream implements ByteStream {
  readonly #inner: ByteStream;
  #upLeft = Number.POSITIVE_INFINITY;
  #downLeft = Number.POSITIVE_INFINITY;
  #framesLeft = Number.POSITIVE_INFINITY;
  #cut = false;
  /** Numbers of the frames that left here, oldest first. */
  readonly frames: number[] = [];

  constructor(inner: ByteStream) {
    this.#inner = inner;
  }

  /** From now on: cut when more than so many bytes have gone up, or down, or with the frame after
   * so many. */
  cutAfter(left: { up?: number; down?: number; frames?: number }): void {
    this.#upLeft = left.up ?? Number.POSITIVE_INFINITY;
    this.#downLeft = left.down ?? Number.POSITIVE_INFINITY;
    this.#framesLeft = left.frames ?? Number.POSITIVE_INFINITY;
  }

  get remote(): string {
    return this.#inner.remote;
  }

  get bytesIn(): number {
    return this.#inner.bytesIn;
  }

  get bytesOut(): number {
    return this.#inner.bytesOut;
  }

  get isCut(): boolean {
    return this.#cut;
  }

  async read(): Promise<Uint8Array | null> {
    const piece = await this.#inner.read();
    if (piece === null) return null;
    this.#downLeft -= piece.length;
    if (this.#downLeft >= 0) return piece;
    const rest = piece.length + this.#downLeft;
    this.destroy('cut on the way down');
    return rest > 0 ? piece.subarray(0, rest) : this.#inner.read();
  }

  async write(pieces: readonly Uint8Array[]): Promise<void> {
    const number = numberOf(pieces);
    if (number !== null) this.#framesLeft -= 1;
    const total = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const passes = this.#framesLeft < 0 ? 0 : Math.min(total, this.#upLeft);
    const before = this.#inner.bytesOut;
    this.#upLeft -= total;
    try {
      if (passes === total) return await this.#inner.write(pieces);
      // Not waited for: it does not get there.
      this.#inner.write([Buffer.concat(pieces).subarray(0, passes)]).catch(() => {});
      this.destroy('cut on the way up');
      await this.#inner.write(pieces);
    } finally {
      if (number !== null && this.#inner.bytesOut > before) this.frames.push(number);
    }
  }

  end(): Promise<void> {
    return this.#inner.end();
  }

  destroy(why: string): void {
    this.#cut = true;
    this.#inner.destroy(why);
  }
}

/** Number of the frame, or reuse, that is written; null: another message. */
function numberOf(pieces: readonly Uint8Array[]): number | null {
  const [header, payload] = pieces;
  const type = header?.[4];
  if (type !== TYPE_NUMBERS.frame && type !== TYPE_NUMBERS.reuse) return null;
  const view = new DataView(payload?.buffer ?? new ArrayBuffer(24), payload?.byteOffset);
  return view.getUint32(NUMBER_OFFSET);
}
