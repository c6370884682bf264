// Cuts a stream of bytes into messages. Guarantee: at most one message is held, its memory is
// taken only after its header has been verified and its length allowed. Errors: PEER_PROTOCOL,
// PEER_VERSION, and PEER_CLOSED when the stream breaks off.
import { NetError } from '../net/faults.js';
import type { ByteStream } from '../net/stream.js';
import { decodeMessage } from './decode.js';
import { PeerError } from './faults.js';
import { decodeHeader, HEADER_BYTES } from './header.js';
import type { Envelope, MessageType } from './messages.js';

const GREETINGS: ReadonlySet<MessageType> = new Set(['hello', 'welcome', 'refuse']);

export class MessageReader {
  readonly #stream: ByteStream;
  readonly #onBytes: () => void;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  /** `onBytes` is called whenever bytes have come, whole message or not. */
  constructor(stream: ByteStream, onBytes: () => void = () => {}) {
    this.#stream = stream;
    this.#onBytes = onBytes;
  }

  /** The first message: nothing but a greeting is taken from somebody not yet known. */
  greeting(): Promise<Envelope | null> {
    return this.#message(GREETINGS);
  }

  /** The next message, or null when the other side ended the stream between two messages. */
  next(): Promise<Envelope | null> {
    return this.#message(null);
  }

  async #message(allowed: ReadonlySet<MessageType> | null): Promise<Envelope | null> {
    const peer = this.#stream.remote;
    const headerBytes = new Uint8Array(HEADER_BYTES);
    if (!(await this.#fill(headerBytes, 'before'))) return null;
    const header = decodeHeader(headerBytes, peer);
    if (allowed !== null && !allowed.has(header.type)) {
      const what = `${header.type} message in place of a greeting`;
      throw new PeerError({ code: 'PEER_PROTOCOL', peer, what });
    }
    // Not from Buffer's pool: a frame is kept for long by whoever gets it.
    const payload = Buffer.allocUnsafeSlow(header.payloadBytes);
    await this.#fill(payload, 'inside');
    return decodeMessage(header, payload, peer);
  }

  /** Fills `into`; false when the stream ended before its first byte (only `before` allows it). */
  async #fill(into: Uint8Array, where: 'before' | 'inside'): Promise<boolean> {
    let filled = 0;
    while (filled < into.length) {
      if (this.#at === this.#piece.length) {
        const piece = await this.#stream.read();
        if (piece === null) {
          if (where === 'before' && filled === 0) return false;
          const why = 'it broke off inside a message';
          throw new NetError({ code: 'PEER_CLOSED', address: this.#stream.remote, why });
        }
        this.#piece = piece;
        this.#at = 0;
        this.#onBytes();
      }
      const count = Math.min(into.length - filled, this.#piece.length - this.#at);
      into.set(this.#piece.subarray(this.#at, this.#at + count), filled);
      this.#at += count;
      filled += count;
    }
    return true;
  }
}
