// The answer to each negotiation option (proto.md, "Option types", "Option reply types"). Pure:
// option data in, reply packets out. The data is at most OPTION_BYTES_MAX long (checked before).
import { listed, parseMetaQuery, selected } from './meta-context.js';
import {
  type Agreement,
  BLOCK_SIZE_MIN,
  BLOCK_SIZE_PREFERRED,
  EXPORT_BYTES,
  EXPORT_ZEROES_BYTES,
  type ExportInfo,
  INFO,
  type MetaContext,
  NAME_BYTES_MAX,
  OPTION,
  OPTION_REPLY_HEADER_BYTES,
  OPTION_REPLY_MAGIC,
  PAYLOAD_BYTES_MAX,
  REPLY,
  transmissionFlags,
} from './protocol.js';

/** What has been settled so far; the contexts are those of one export (SET_META_CONTEXT). */
export interface Settled extends Agreement {
  readonly contextsOf: string | null;
}

export const NOTHING_SETTLED: Settled = { structured: false, contexts: [], contextsOf: null };

export interface Answer {
  readonly replies: readonly Buffer[];
  /** What ends the negotiation, or null to go on. */
  readonly end: { exportName: string } | { reason: 'aborted' } | null;
  /** What is settled now. */
  readonly settled: Settled;
}

/** Answers any option but EXPORT_NAME. */
export function answerOption(
  option: number,
  data: Buffer,
  exports: readonly ExportInfo[],
  settled: Settled,
): Answer {
  const more = (...replies: Buffer[]): Answer => ({ replies, end: null, settled });
  switch (option) {
    case OPTION.ABORT:
      return { replies: [packet(option, REPLY.ACK)], end: { reason: 'aborted' }, settled };
    case OPTION.LIST:
      return more(...answerList(data, exports));
    case OPTION.INFO:
    case OPTION.GO:
      return answerGo(option, data, exports, settled);
    case OPTION.STRUCTURED_REPLY: {
      if (data.length > 0) return more(refusal(option, REPLY.ERR_INVALID, 'it takes no data'));
      const structured = { ...settled, structured: true };
      return { replies: [packet(option, REPLY.ACK)], end: null, settled: structured };
    }
    case OPTION.LIST_META_CONTEXT:
      return more(...answerListContexts(data, exports, settled));
    case OPTION.SET_META_CONTEXT:
      return answerSetContexts(data, exports, settled);
    case OPTION.STARTTLS:
      // "NOTLS mode". The export is a unix socket or loopback: there is nobody to hide from.
      return more(refusal(option, REPLY.ERR_POLICY, 'TLS is not used here'));
    default:
      return more(refusal(option, REPLY.ERR_UNSUP, 'this option is not supported'));
  }
}

/** An error reply; its data is a text for people. */
export function refusal(option: number, type: number, text: string): Buffer {
  return packet(option, type, Buffer.from(text));
}

/** The end of EXPORT_NAME: no packet, only the export, padded unless NO_ZEROES was agreed on. */
export function endOfExportName(
  chosen: ExportInfo,
  noZeroes: boolean,
  structured: boolean,
): Buffer {
  const bytes = Buffer.alloc(EXPORT_BYTES + (noZeroes ? 0 : EXPORT_ZEROES_BYTES));
  writeExport(bytes, 0, chosen, structured);
  return bytes;
}

function answerList(data: Buffer, exports: readonly ExportInfo[]): Buffer[] {
  if (data.length > 0) return [refusal(OPTION.LIST, REPLY.ERR_INVALID, 'LIST takes no data')];
  const servers = exports.map((one) => {
    const name = Buffer.from(one.name);
    const body = Buffer.alloc(4 + name.length);
    body.writeUInt32BE(name.length, 0);
    name.copy(body, 4);
    return packet(OPTION.LIST, REPLY.SERVER, body);
  });
  return [...servers, packet(OPTION.LIST, REPLY.ACK)];
}

/** A wrong export name, said to whoever asks for it. */
const unknownExport = (option: number): Buffer =>
  refusal(option, REPLY.ERR_UNKNOWN, 'no such export; "hastctl list" prints the URI of every disk');

/** "SHOULD NOT be requested unless structured replies have been negotiated first". */
function answerListContexts(
  data: Buffer,
  exports: readonly ExportInfo[],
  { structured }: Settled,
): Buffer[] {
  const option = OPTION.LIST_META_CONTEXT;
  const asked = structured ? parseMetaQuery(data) : null;
  if (asked === null) return [refusal(option, REPLY.ERR_INVALID, whyNoContexts(structured))];
  const chosen = exports.find((one) => one.name === asked.exportName);
  if (chosen === undefined) return [unknownExport(option)];
  const names = listed(chosen.contexts, asked.queries);
  // "The metadata context ID in these replies is reserved and SHOULD be set to zero".
  const replies = names.map((name) => contextPacket(option, { id: 0, name }));
  return [...replies, packet(option, REPLY.ACK)];
}

/** "Replaces all previously-set metadata contexts (including when this command fails)". */
function answerSetContexts(data: Buffer, exports: readonly ExportInfo[], settled: Settled): Answer {
  const option = OPTION.SET_META_CONTEXT;
  const { structured } = settled;
  const without = { structured, contexts: [], contextsOf: null };
  const none = (reply: Buffer): Answer => ({ replies: [reply], end: null, settled: without });
  const asked = structured ? parseMetaQuery(data) : null;
  if (asked === null) return none(refusal(option, REPLY.ERR_INVALID, whyNoContexts(structured)));
  const chosen = exports.find((one) => one.name === asked.exportName);
  if (chosen === undefined) return none(unknownExport(option));
  const contexts = selected(chosen.contexts, asked.queries);
  if (contexts === null) return none(refusal(option, REPLY.ERR_TOO_BIG, 'too many contexts'));
  const replies = contexts.map((context) => contextPacket(option, context));
  return {
    replies: [...replies, packet(option, REPLY.ACK)],
    end: null,
    settled: { structured, contexts, contextsOf: chosen.name },
  };
}

const whyNoContexts = (structured: boolean): string =>
  structured ? 'malformed option data' : 'negotiate structured replies first';

function contextPacket(option: number, { id, name }: MetaContext): Buffer {
  const text = Buffer.from(name);
  const body = Buffer.alloc(4 + text.length);
  body.writeUInt32BE(id, 0);
  text.copy(body, 4);
  return packet(option, REPLY.META_CONTEXT, body);
}

function answerGo(
  option: number,
  data: Buffer,
  exports: readonly ExportInfo[],
  settled: Settled,
): Answer {
  const none = (reply: Buffer): Answer => ({ replies: [reply], end: null, settled });
  const asked = parseGo(data);
  if (asked === null) return none(refusal(option, REPLY.ERR_INVALID, 'malformed option data'));
  const chosen = exports.find((one) => one.name === asked.name);
  if (chosen === undefined) return none(unknownExport(option));
  const replies = [packet(option, REPLY.INFO, exportInfo(chosen, settled.structured))];
  if (asked.wants.has(INFO.NAME)) replies.push(packet(option, REPLY.INFO, nameInfo(chosen)));
  // Sent unasked too: a client must ignore what it does not know, and older ones do use it.
  replies.push(packet(option, REPLY.INFO, blockSizeInfo()), packet(option, REPLY.ACK));
  return { replies, end: option === OPTION.GO ? { exportName: chosen.name } : null, settled };
}

//  INFO and GO:  0  4 name length n   4  n name   4+n  2 count c   6+n  2*c information requests
function parseGo(data: Buffer): { name: string; wants: ReadonlySet<number> } | null {
  if (data.length < 6) return null;
  const nameBytes = data.readUInt32BE(0);
  if (nameBytes > data.length - 6 || nameBytes > NAME_BYTES_MAX) return null;
  const count = data.readUInt16BE(4 + nameBytes);
  if (data.length !== 6 + nameBytes + 2 * count) return null;
  const wants = new Set<number>();
  for (let i = 0; i < count; i += 1) wants.add(data.readUInt16BE(6 + nameBytes + 2 * i));
  return { name: data.toString('utf8', 4, 4 + nameBytes), wants };
}

function exportInfo(chosen: ExportInfo, structured: boolean): Buffer {
  const bytes = Buffer.alloc(2 + EXPORT_BYTES);
  bytes.writeUInt16BE(INFO.EXPORT, 0);
  writeExport(bytes, 2, chosen, structured);
  return bytes;
}

function nameInfo(chosen: ExportInfo): Buffer {
  const type = Buffer.alloc(2);
  type.writeUInt16BE(INFO.NAME, 0);
  return Buffer.concat([type, Buffer.from(chosen.name)]);
}

function blockSizeInfo(): Buffer {
  const bytes = Buffer.alloc(14);
  bytes.writeUInt16BE(INFO.BLOCK_SIZE, 0);
  bytes.writeUInt32BE(BLOCK_SIZE_MIN, 2);
  bytes.writeUInt32BE(BLOCK_SIZE_PREFERRED, 6);
  bytes.writeUInt32BE(PAYLOAD_BYTES_MAX, 10);
  return bytes;
}

function writeExport(into: Buffer, at: number, chosen: ExportInfo, structured: boolean): void {
  into.writeBigUInt64BE(BigInt(chosen.sizeBytes), at);
  into.writeUInt16BE(transmissionFlags(chosen.readOnly, structured), at + 8);
}

function packet(option: number, type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(OPTION_REPLY_HEADER_BYTES);
  head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
  head.writeUInt32BE(option, 8);
  head.writeUInt32BE(type, 12);
  head.writeUInt32BE(body.length, 16);
  return Buffer.concat([head, body]);
}
