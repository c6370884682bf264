// The header in front of every message, and the longest payload each type may have.
//
//  off size field                 Message header, 32 bytes, big-endian.
//    0    4 payload bytes
//    4    1 type                  TYPE_NUMBERS
//    5    1 version               of the protocol; this header and REFUSE never change
//    6    2 zero
//    8    4 request               0: a push
//   12    4 zero
//   16    8 payload check         BLAKE3 of the payload; of a FRAME only its first 24 bytes, the
//                                 rest carries its own checksum
//   24    8 header check          BLAKE3 of bytes 0..23
//
// The header check is verified before the length is believed.
import { assert } from '../base/assert.js';
import { CHECK_BYTES, checkOf, equalBytes } from '../base/digest.js';
import { CHUNK_BYTES } from '../base/units.js';
import { PeerError } from './faults.js';
import {
  CONTROL_BYTES_MAX,
  FRAME_PAYLOAD_BYTES_MAX,
  FRAME_PREFIX_BYTES,
  GREETING_BYTES_MAX,
  PROTOCOL_VERSION,
} from './limits.js';
import { type MessageType, TYPE_NUMBERS } from './messages.js';

export const HEADER_BYTES = 32;
const FIELDS = [4, 1, 1, 2, 4, 4, CHECK_BYTES, CHECK_BYTES];
assert(FIELDS.reduce((sum, size) => sum + size, 0) === HEADER_BYTES, 'the drawing is the layout');
const HEADER_CHECK_OFFSET = 24;

export interface Header {
  readonly type: MessageType;
  readonly request: number;
  readonly payloadBytes: number;
  readonly payloadCheck: Uint8Array;
}

const TYPES = new Map<number, MessageType>();
for (const type of Object.keys(TYPE_NUMBERS) as MessageType[]) TYPES.set(TYPE_NUMBERS[type], type);
assert(TYPES.size === Object.keys(TYPE_NUMBERS).length, 'every type has its own number');

/** Longest payload of a type. */
export function payloadBytesMax(type: MessageType): number {
  if (type === 'frame') return FRAME_PAYLOAD_BYTES_MAX;
  if (type === 'hello' || type === 'welcome' || type === 'refuse') return GREETING_BYTES_MAX;
  if (type === 'chunk-is') return CHUNK_BYTES;
  return type === 'ping' || type === 'pong' ? 0 : CONTROL_BYTES_MAX;
}

/** Bytes of the payload that the payload check covers. */
export const checkedBytes = (type: MessageType, payloadBytes: number): number =>
  type === 'frame' ? Math.min(FRAME_PREFIX_BYTES, payloadBytes) : payloadBytes;

/** `checked` are the bytes that the payload check covers. */
export function encodeHeader(
  type: MessageType,
  request: number,
  payloadBytes: number,
  checked: Uint8Array,
): Uint8Array {
  assert(payloadBytes <= payloadBytesMax(type), `a ${type} message is within its limit`);
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, payloadBytes);
  view.setUint8(4, TYPE_NUMBERS[type]);
  view.setUint8(5, PROTOCOL_VERSION);
  view.setUint32(8, request);
  header.set(checkOf(checked), 16);
  header.set(checkOf(header.subarray(0, HEADER_CHECK_OFFSET)), HEADER_CHECK_OFFSET);
  return header;
}

/** Reads a header of HEADER_BYTES. Errors PEER_PROTOCOL, PEER_VERSION; after it the length is
 * within the limit of the type. */
export function decodeHeader(bytes: Uint8Array, peer: string): Header {
  assert(bytes.length === HEADER_BYTES, 'a header has its length');
  const broken = (what: string) => new PeerError({ code: 'PEER_PROTOCOL', peer, what });
  const check = bytes.subarray(HEADER_CHECK_OFFSET);
  if (!equalBytes(check, checkOf(bytes.subarray(0, HEADER_CHECK_OFFSET)))) {
    throw broken('what came is not a message header (its checksum is wrong)');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_BYTES);
  const type = TYPES.get(view.getUint8(4));
  const version = view.getUint8(5);
  if (version !== PROTOCOL_VERSION && type !== 'refuse') {
    throw new PeerError({ code: 'PEER_VERSION', peer, theirs: version, ours: PROTOCOL_VERSION });
  }
  if (type === undefined) throw broken(`message of unknown type ${view.getUint8(4)}`);
  if (view.getUint16(6) !== 0 || view.getUint32(12) !== 0) {
    throw broken(`${type} message with a reserved field that is not zero`);
  }
  const payloadBytes = view.getUint32(0);
  if (payloadBytes > payloadBytesMax(type)) {
    throw broken(`${type} message of ${payloadBytes} bytes; ${payloadBytesMax(type)} are allowed`);
  }
  return {
    type,
    request: view.getUint32(8),
    payloadBytes,
    payloadCheck: bytes.slice(16, 16 + CHECK_BYTES),
  };
}
