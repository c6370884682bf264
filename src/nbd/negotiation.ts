// Fixed newstyle negotiation of NBD as a pure state machine: bytes of the client in, bytes of the
// server and what to do next out (proto.md, "Handshake"). Guarantees: never throws on what a client
// sends, holds at most OPTION_BYTES_MAX of it, and comes to an end within OPTIONS_MAX options; the
// time limit is the listener's. Not known here are the empty name's default export (a wrong disk is
// worse than an error) and TLS.
import { assert } from '../base/assert.js';
import { answerOption, endOfExportName, NOTHING_SETTLED, refusal } from './options.js';
import {
  type Agreement,
  CLIENT_FLAGS_BYTES,
  type ExportInfo,
  GREETING_BYTES,
  HANDSHAKE,
  IHAVEOPT,
  NBDMAGIC,
  OPTION,
  OPTION_HEADER_BYTES,
  REPLY,
} from './protocol.js';

/** Option data that is taken in: a name of 4096 bytes and two thousand information requests. */
export const OPTION_BYTES_MAX = 8192;
/** Option data that is read past and answered with ERR_TOO_BIG; more than that hangs up. */
export const OPTION_DRAIN_BYTES_MAX = 1024 * 1024;
/** Options of one connection; a client that wants a disk needs about five. */
export const OPTIONS_MAX = 64;

export type NegotiationEnd = 'aborted' | 'bad-magic' | 'bad-flags' | 'too-much' | 'unknown-export';

/** What the listener owes now: send `replies`, then go on reading, hand over, or hang up. */
export type Step =
  | { readonly next: 'more'; readonly replies: Buffer }
  | {
      readonly next: 'transmit';
      readonly replies: Buffer;
      readonly exportName: string;
      readonly agreement: Agreement;
      /** A copy of what came after the last option: the first requests. */
      readonly leftover: Uint8Array<ArrayBuffer>;
    }
  | { readonly next: 'close'; readonly replies: Buffer; readonly reason: NegotiationEnd };

/** The first bytes of the server. */
export function greeting(): Buffer {
  const bytes = Buffer.alloc(GREETING_BYTES);
  bytes.writeBigUInt64BE(NBDMAGIC, 0);
  bytes.writeBigUInt64BE(IHAVEOPT, 8);
  bytes.writeUInt16BE(HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES, 16);
  return bytes;
}

type Phase = 'flags' | 'header' | 'data' | 'drain' | 'over';
type End = { exportName: string } | { reason: NegotiationEnd };

export class Negotiation {
  readonly #exports: () => readonly ExportInfo[];
  readonly #held = Buffer.alloc(OPTION_BYTES_MAX);
  #heldBytes = 0;
  /** Bytes that complete the present phase. */
  #wantedBytes = CLIENT_FLAGS_BYTES;
  #phase: Phase = 'flags';
  #option = 0;
  #options = 0;
  #fixed = false;
  #noZeroes = false;
  #settled = NOTHING_SETTLED;
  #replies: Buffer[] = [];

  /** `exports` is asked anew for every option. */
  constructor(exports: () => readonly ExportInfo[]) {
    this.#exports = exports;
  }

  /** True after a step other than 'more'. */
  get over(): boolean {
    return this.#phase === 'over';
  }

  /** Takes in any number of bytes; must not be called after a step other than 'more'. */
  feed(bytes: Uint8Array): Step {
    assert(!this.over, 'nobody feeds a negotiation that is over');
    this.#replies = [];
    let at = 0;
    let end: End | null = null;
    while (end === null) {
      const taken = Math.min(bytes.length - at, this.#wantedBytes - this.#heldBytes);
      if (this.#phase !== 'drain') {
        this.#held.set(bytes.subarray(at, at + taken), this.#heldBytes);
      }
      at += taken;
      this.#heldBytes += taken;
      if (this.#heldBytes < this.#wantedBytes) {
        return { next: 'more', replies: Buffer.concat(this.#replies) };
      }
      end = this.#advance(this.#held.subarray(0, Math.min(this.#wantedBytes, OPTION_BYTES_MAX)));
    }
    this.#phase = 'over';
    const replies = Buffer.concat(this.#replies);
    if ('reason' in end) return { next: 'close', replies, reason: end.reason };
    const leftover = new Uint8Array(bytes.subarray(at));
    const { exportName } = end;
    return {
      next: 'transmit',
      replies,
      exportName,
      agreement: this.#agreement(exportName),
      leftover,
    };
  }

  #advance(held: Buffer): End | null {
    switch (this.#phase) {
      case 'flags':
        return this.#clientFlags(held.readUInt32BE(0));
      case 'header':
        return this.#optionHeader(held);
      case 'data':
        return this.#optionData(held);
      case 'drain':
        this.#replies.push(refusal(this.#option, REPLY.ERR_TOO_BIG, 'option too long'));
        return this.#enter('header', OPTION_HEADER_BYTES);
      default:
        return null;
    }
  }

  #enter(phase: Phase, wantedBytes: number): null {
    this.#phase = phase;
    this.#heldBytes = 0;
    this.#wantedBytes = wantedBytes;
    return null;
  }

  /** "Client flags": any other bit must drop the connection. */
  #clientFlags(flags: number): End | null {
    if (flags > (HANDSHAKE.FIXED_NEWSTYLE | HANDSHAKE.NO_ZEROES)) return { reason: 'bad-flags' };
    this.#fixed = (flags & HANDSHAKE.FIXED_NEWSTYLE) !== 0;
    this.#noZeroes = (flags & HANDSHAKE.NO_ZEROES) !== 0;
    return this.#enter('header', OPTION_HEADER_BYTES);
  }

  #optionHeader(header: Buffer): End | null {
    if (header.readBigUInt64BE(0) !== IHAVEOPT) return { reason: 'bad-magic' };
    this.#option = header.readUInt32BE(8);
    const bytes = header.readUInt32BE(12);
    this.#options += 1;
    if (this.#options > OPTIONS_MAX || bytes > OPTION_DRAIN_BYTES_MAX)
      return { reason: 'too-much' };
    const named = this.#option === OPTION.EXPORT_NAME;
    // Without fixed newstyle a client knows no option reply, so EXPORT_NAME is all it may send.
    if (!this.#fixed && !named) return { reason: 'bad-flags' };
    if (bytes <= OPTION_BYTES_MAX) return this.#enter('data', bytes);
    return named ? { reason: 'too-much' } : this.#enter('drain', bytes);
  }

  #optionData(data: Buffer): End | null {
    const exports = this.#exports();
    if (this.#option === OPTION.EXPORT_NAME) {
      const chosen = exports.find((one) => one.name === data.toString());
      // EXPORT_NAME has no way to say an error: "the server MUST terminate the session".
      if (chosen === undefined) return { reason: 'unknown-export' };
      this.#replies.push(endOfExportName(chosen, this.#noZeroes, this.#settled.structured));
      return { exportName: chosen.name };
    }
    const answer = answerOption(this.#option, data, exports, this.#settled);
    this.#replies.push(...answer.replies);
    this.#settled = answer.settled;
    if (answer.end !== null) return answer.end;
    return this.#enter('header', OPTION_HEADER_BYTES);
  }

  /** Contexts hold for the export they were selected on, and for no other (SET_META_CONTEXT). */
  #agreement(exportName: string): Agreement {
    const { structured, contexts, contextsOf } = this.#settled;
    return { structured, contexts: contextsOf === exportName ? contexts : [] };
  }
}
