// Numbers and layouts of the NBD protocol, as in doc/proto.md of NetworkBlockDevice/nbd; sections
// are quoted by their titles there. Everything on the wire is big-endian. Pure: no state, no I/O.
import { assert } from '../base/assert.js';
import { BLOCK_BYTES, MIB } from '../base/units.js';

/** "Fixed newstyle negotiation": the server's first two words, and the head of every option. */
export const NBDMAGIC = 0x4e42444d41474943n;
export const IHAVEOPT = 0x49484156454f5054n;
/** Head of every option reply. */
export const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
/** "Request message" and "Simple reply message". */
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
/** "Structured reply chunk message". */
export const CHUNK_MAGIC = 0x668e33ef;

//  Greeting, 18 bytes:        0  8 NBDMAGIC   8  8 IHAVEOPT   16  2 handshake flags
//  Client flags, 4 bytes.
//  Option, 16 + n bytes:      0  8 IHAVEOPT   8  4 option     12  4 n
//  Option reply, 20 + n:      0  8 magic      8  4 option     12  4 reply type   16  4 n
//  Export (EXPORT_NAME), 10:  0  8 size       8  2 transmission flags   (+ 124 zero bytes)
//  Request, 28 bytes:         0  4 magic      4  2 flags       6  2 type    8  8 cookie
//                            16  8 offset    24  4 length
//  Simple reply, 16 bytes:    0  4 magic      4  4 error       8  8 cookie
//  Chunk, 20 + n bytes:       0  4 magic      4  2 flags       6  2 type    8  8 cookie
//                            16  4 n         20  n payload:
//    OFFSET_DATA, 8 + m:      0  8 offset     8  m data
//    OFFSET_HOLE, 12:         0  8 offset     8  4 length
//    BLOCK_STATUS, 4 + 8 r:   0  4 context    4  8 each run: 4 length, 4 flags
//    ERROR, 6; _OFFSET, 14:   0  4 error      4  2 length of a text (0)   6  8 offset
export const GREETING_BYTES = 18;
export const CLIENT_FLAGS_BYTES = 4;
export const OPTION_HEADER_BYTES = 16;
export const OPTION_REPLY_HEADER_BYTES = 20;
export const EXPORT_BYTES = 10;
export const EXPORT_ZEROES_BYTES = 124;
export const REQUEST_BYTES = 28;
export const REPLY_BYTES = 16;
export const CHUNK_HEAD_BYTES = 20;
/** Before the data of an OFFSET_DATA chunk; the longest head that data has. */
export const DATA_HEAD_BYTES = CHUNK_HEAD_BYTES + 8;
assert(4 + 2 + 2 + 8 + 8 + 4 === REQUEST_BYTES, 'the request header is drawn right');
assert(4 + 4 + 8 === REPLY_BYTES, 'the reply header is drawn right');
assert(4 + 2 + 2 + 8 + 4 === CHUNK_HEAD_BYTES, 'the chunk header is drawn right');

/** "Handshake flags" and "Client flags": the same two bits in both directions. */
export const HANDSHAKE = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const;

/** "Transmission flags". */
export const TRANSMISSION = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const;

/** "Option types". */
export const OPTION = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
} as const;

/** "Option reply types". */
export const REPLY = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_TOO_BIG: 0x8000_0009,
} as const;

/** Information types of NBD_REP_INFO. */
export const INFO = { EXPORT: 0, NAME: 1, BLOCK_SIZE: 3 } as const;

/** "Request types". */
export const COMMAND = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const;

/** "Command flags". */
export const COMMAND_FLAG = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const;

/** "Structured reply types"; errors have bit 15. */
export const CHUNK = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const;
/** "Structured reply flags": the last chunk of a reply. */
export const CHUNK_DONE = 1;

/** "Error values"; 0 is success. */
export const NBD_ERROR = {
  NONE: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;

/** "Size constraints": any byte may be addressed, whole blocks are quickest. */
export const BLOCK_SIZE_MIN = 1;
export const BLOCK_SIZE_PREFERRED = BLOCK_BYTES;
/** Largest payload of one READ or WRITE, either direction. */
export const PAYLOAD_BYTES_MAX = 32 * MIB;
/** "Conventions", strings: names are at most 4096 bytes. */
export const NAME_BYTES_MAX = 4096;

/** What is offered to the guest under one name. */
export interface ExportInfo {
  readonly name: string;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Names of its meta contexts: Disk.contexts. */
  readonly contexts: readonly string[];
}

/** A meta context that a client has selected; `id` is the connection's. */
export interface MetaContext {
  readonly id: number;
  readonly name: string;
}

/** What negotiation has settled for the transmission phase; plain data, posted between threads. */
export interface Agreement {
  /** Reads are answered by structured replies; BLOCK_STATUS and DF need them. */
  readonly structured: boolean;
  /** What BLOCK_STATUS answers, in this order; empty: it is refused. */
  readonly contexts: readonly MetaContext[];
}

/** Of a client that asked for nothing. */
export const SIMPLE_AGREEMENT: Agreement = { structured: false, contexts: [] };

/**
 * "Transmission flags" of an export. CAN_MULTI_CONN is true of every Disk: its flush covers what
 * was answered on any connection (W3). DF is offered with structured replies only.
 */
export function transmissionFlags(readOnly: boolean, structured: boolean): number {
  const always =
    TRANSMISSION.HAS_FLAGS |
    TRANSMISSION.SEND_FLUSH |
    TRANSMISSION.SEND_FUA |
    TRANSMISSION.CAN_MULTI_CONN |
    TRANSMISSION.SEND_CACHE |
    (structured ? TRANSMISSION.SEND_DF : 0);
  if (readOnly) return always | TRANSMISSION.READ_ONLY;
  const { SEND_TRIM, SEND_WRITE_ZEROES, SEND_FAST_ZERO } = TRANSMISSION;
  return always | SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO;
}
