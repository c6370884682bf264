// Meta contexts in negotiation: LIST_META_CONTEXT and SET_META_CONTEXT (proto.md, "Metadata
// querying", "Option types"). Pure: option data in, names out. Names are those of the export, taken
// as they are; only a query of LIST that ends in a colon (`base:`, `qemu:dirty-bitmap:`) is a
// wildcard. What matches nothing selects nothing, also an unknown name space: the specification
// wants it ignored. Limits: option data is at most OPTION_BYTES_MAX (negotiation.ts), selected
// contexts at most CONTEXTS_MAX.
import { type MetaContext, NAME_BYTES_MAX } from './protocol.js';

/** Contexts of one connection; a reply to BLOCK_STATUS has a chunk for each. */
export const CONTEXTS_MAX = 32;
/** Allocated or not, as in the specification; flags HOLE and ZERO. */
export const BASE_ALLOCATION = 'base:allocation';
/**
 * What the server asks of a disk for its own reads and never negotiates: as base:allocation, but a
 * run has flag ZERO only where the disk answers for it, not merely its file system; and the answer
 * is never a promise: what must be looked up first is data.
 */
export const READ_CONTEXT = 'hast:read';
/** Flags of base:allocation. */
export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

export interface MetaQuery {
  readonly exportName: string;
  readonly queries: readonly string[];
}

//  0  4 name length n   4  n export name   4+n  4 count   then each query: 4 length, its text
/** Null: malformed. Lengths are looked at before anything is allocated. */
export function parseMetaQuery(data: Buffer): MetaQuery | null {
  const name = textAt(data, 0);
  if (name === null || name.end + 4 > data.length) return null;
  const count = data.readUInt32BE(name.end);
  let at = name.end + 4;
  // Every query takes four bytes at least, so the data bounds the count.
  if (count > (data.length - at) / 4) return null;
  const queries: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const query = textAt(data, at);
    if (query === null) return null;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { exportName: name.text, queries } : null;
}

/** What LIST answers: every context when nothing is asked for, in the order of the export. */
export function listed(contexts: readonly string[], queries: readonly string[]): string[] {
  if (queries.length === 0) return [...contexts];
  const wildcards = queries.filter((query) => query.endsWith(':'));
  const exact = new Set(queries);
  return contexts.filter(
    (name) => exact.has(name) || wildcards.some((query) => name.startsWith(query)),
  );
}

/** What SET selects, in the order of the queries, numbered from 1; null: too many. */
export function selected(
  contexts: readonly string[],
  queries: readonly string[],
): MetaContext[] | null {
  const known = new Set(contexts);
  const names = [...new Set(queries)].filter((query) => known.has(query));
  if (names.length > CONTEXTS_MAX) return null;
  return names.map((name, index) => ({ id: index + 1, name }));
}

function textAt(data: Buffer, at: number): { text: string; end: number } | null {
  if (at + 4 > data.length) return null;
  const bytes = data.readUInt32BE(at);
  const end = at + 4 + bytes;
  if (bytes > NAME_BYTES_MAX || end > data.length) return null;
  return { text: data.toString('utf8', at + 4, end), end };
}
