// What of a digest table is believed when it is opened, and who is told of what is not: the header
// by its check, the table by its resource and its point. A table of an older point is one of which
// writes were lost: entries of chunks that have changed since stand in it, and after the next
// change they would count for the new point (H7).
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import type { FileHandle } from '../base/files.js';
import { decodeTableHeader, TABLE_PAGE_BYTES, type TableHeader } from '../format/digest-table.js';
import { isUnreadable } from '../format/unreadable.js';

export interface TableFacts {
  readonly resource: Uint8Array;
  readonly sizeBytes: number;
}

/** What the owner of a table knows of it, and wants to know. */
export interface TableWatch {
  /** Ids of the points that it may be true for. A table of another one is older than it should be:
   * its entries would be believed again with the next change, so nothing of it is. */
  readonly points: readonly Uint8Array[];
  /** Digests are lost: the place names the file, and where in it. Told of each place once. */
  readonly bad: (place: string, why: string) => void;
}

/** Why this table is not the one that is wanted, told; or true. */
export function isOf(
  header: TableHeader,
  facts: TableFacts,
  path: string,
  watch: TableWatch | null,
): boolean {
  if (!equalBytes(header.resource, facts.resource)) {
    watch?.bad(path, 'it is of another resource');
    return false;
  }
  const { point } = header;
  if (watch === null || point === null) return true;
  if (watch.points.some((id) => equalBytes(id, point.id))) return true;
  watch.bad(path, `it is of point ${point.number}, which is not the last one`);
  return false;
}

/** Null: it cannot be read. */
export async function readTableHeader(
  handle: FileHandle,
  watch: TableWatch | null,
): Promise<TableHeader | null> {
  const bytes = new Uint8Array(TABLE_PAGE_BYTES);
  try {
    const got = await handle.read(bytes, 0);
    return decodeTableHeader(bytes.subarray(0, got), handle.path);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    watch?.bad(`${handle.path} at 0`, describeError(error));
    return null;
  }
}
