// Requests of the transmission phase: decoding the header, deciding what must be refused before
// anything is consumed, and the error numbers that go back. Pure. Offsets and lengths are bytes.
import { AssertionError } from '../base/assert.js';
import { codeOf, HastError } from '../base/errors.js';
import {
  type Agreement,
  COMMAND,
  COMMAND_FLAG,
  NBD_ERROR,
  PAYLOAD_BYTES_MAX,
  REQUEST_MAGIC,
} from './protocol.js';

/** One request, decoded into the same object over and over: nothing is allocated per request. */
export class Request {
  flags = 0;
  type = 0;
  /** The client's cookie, opaque, as two words. */
  cookieHigh = 0;
  cookieLow = 0;
  /** Exact below 2^53; beyond, large enough to be refused. */
  offset = 0;
  length = 0;

  get fua(): boolean {
    return (this.flags & COMMAND_FLAG.FUA) !== 0;
  }
}

/** Decodes REQUEST_BYTES at `at`; false: the magic is wrong, and what follows means nothing. */
export function decodeRequest(from: Buffer, at: number, into: Request): boolean {
  if (from.readUInt32BE(at) !== REQUEST_MAGIC) return false;
  into.flags = from.readUInt16BE(at + 4);
  into.type = from.readUInt16BE(at + 6);
  into.cookieHigh = from.readUInt32BE(at + 8);
  into.cookieLow = from.readUInt32BE(at + 12);
  into.offset = from.readUInt32BE(at + 16) * 2 ** 32 + from.readUInt32BE(at + 20);
  into.length = from.readUInt32BE(at + 24);
  return true;
}

/**
 * 0, or the error that answers `request` on such a disk ("Error values"): unknown command or flag
 * EINVAL, a write to a read-only disk EPERM, beyond the end ENOSPC for what writes and EINVAL for
 * what does not, a payload above the maximum EINVAL, BLOCK_STATUS of nothing or without a context
 * EINVAL. DISC is never asked about.
 */
export function refusalOf(
  request: Request,
  sizeBytes: number,
  readOnly: boolean,
  agreement: Agreement,
): number {
  const { type, offset, length } = request;
  if ((request.flags & ~flagsOf(type, agreement.structured)) !== 0) return NBD_ERROR.EINVAL;
  const beyond = offset + length > sizeBytes;
  switch (type) {
    case COMMAND.READ:
    case COMMAND.CACHE: // "Block size constraints": of the maximum, though nothing is sent
      return beyond || length > PAYLOAD_BYTES_MAX ? NBD_ERROR.EINVAL : NBD_ERROR.NONE;
    case COMMAND.WRITE:
      if (readOnly) return NBD_ERROR.EPERM;
      if (length > PAYLOAD_BYTES_MAX) return NBD_ERROR.EINVAL;
      return beyond ? NBD_ERROR.ENOSPC : NBD_ERROR.NONE;
    case COMMAND.WRITE_ZEROES:
      if (readOnly) return NBD_ERROR.EPERM;
      return beyond ? NBD_ERROR.ENOSPC : NBD_ERROR.NONE;
    case COMMAND.TRIM:
      if (readOnly) return NBD_ERROR.EPERM;
      return beyond ? NBD_ERROR.EINVAL : NBD_ERROR.NONE;
    case COMMAND.BLOCK_STATUS:
      if (agreement.contexts.length === 0 || length === 0) return NBD_ERROR.EINVAL;
      return beyond ? NBD_ERROR.EINVAL : NBD_ERROR.NONE;
    case COMMAND.FLUSH:
      return offset !== 0 || length !== 0 ? NBD_ERROR.EINVAL : NBD_ERROR.NONE;
    default:
      return NBD_ERROR.EINVAL;
  }
}

/** FUA is valid for all commands, the others for one each ("Command flags"). */
function flagsOf(type: number, structured: boolean): number {
  const { FUA, NO_HOLE, FAST_ZERO, DF, REQ_ONE } = COMMAND_FLAG;
  if (type === COMMAND.WRITE_ZEROES) return FUA | NO_HOLE | FAST_ZERO;
  if (type === COMMAND.READ && structured) return FUA | DF;
  return type === COMMAND.BLOCK_STATUS ? FUA | REQ_ONE : FUA;
}

/**
 * The NBD error for what a Disk threw or rejected with; what has no number of its own is EIO.
 * A broken assertion is thrown on: it is our mistake and ends the process.
 */
export function nbdErrorOf(error: unknown): number {
  if (error instanceof AssertionError) throw error;
  switch (errnoOf(error)) {
    case 'EPERM':
    case 'EACCES':
    case 'EROFS':
      return NBD_ERROR.EPERM;
    case 'ENOMEM':
      return NBD_ERROR.ENOMEM;
    case 'EINVAL':
      return NBD_ERROR.EINVAL;
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return NBD_ERROR.ENOSPC;
    case 'ESHUTDOWN':
      return NBD_ERROR.ESHUTDOWN;
    default:
      return NBD_ERROR.EIO;
  }
}

function errnoOf(error: unknown): string | null {
  if (error instanceof HastError && 'errno' in error.fault) {
    return typeof error.fault.errno === 'string' ? error.fault.errno : null;
  }
  return codeOf(error);
}

/** Where in `length` bytes from `offset` it failed, if the error says so, else null. */
export function placeOf(error: unknown, offset: number, length: number): number | null {
  if (!(error instanceof HastError) || !('offset' in error.fault)) return null;
  const { offset: at } = error.fault;
  return typeof at === 'number' && at >= offset && at < offset + length ? at : null;
}
