// hastctl dump: what is stored of a resource on this node, as it stands in the state directory,
// without the daemon and without the disk. Reads only. A part that is not whole is told in its
// place and hides nothing else. While hastd runs, maps are up to a minute old (H9). Sizes are
// bytes, times ISO 8601 UTC, ids lower-case hexadecimal.
import { isoTime } from '../base/clock.js';
import { HastError } from '../base/errors.js';
import { type FileHandle, type Files, FilesError } from '../base/files.js';
import { hex } from '../base/random.js';
import { BLOCK_BYTES, bitCount, blockCount } from '../base/units.js';
import { decodeTableHeader, TABLE_PAGE_BYTES } from '../format/digest-table.js';
import { MAP_PAGE_BITS, type MapPage, openDirty } from '../format/dirty-file.js';
import {
  decodeIntentHeader,
  extentCount,
  INTENT_PAGE_BITS,
  INTENT_PAGE_BYTES,
  intentPageOffset,
  intentPages,
  uniteCopies,
} from '../format/intent-file.js';
import {
  type PointEntry,
  RESOURCE_STATE_BYTES_MAX,
  type ResourceState,
  type TargetRecord,
} from '../format/resource-state.js';
import type { PointRef } from '../lineage/lineage.js';
import { RESOURCE_FILE, ResourceFile } from '../tracking/resource-file.js';

const DIRTY_ENDING = '.dirty';
const TABLE_ENDING = '.digests';
const INTENT_FILE = 'intent.map';

/** A file that cannot be read, and why. */
export type Unreadable = { readonly file: string; readonly problem: string };

export interface DumpedPoint {
  readonly id: string;
  readonly number: number;
  readonly time: string;
}

/** TARGET.dirty: what was dirty for a target when it was published. */
export interface DumpedMap {
  readonly file: string;
  readonly dirtyBlocks: number;
  /** Blocks times their size, at most the disk's. */
  readonly dirtyBytes: number;
  /** Of resource.json when it was published. */
  readonly generation: number;
  /** It carries the id of this resource. */
  readonly ours: boolean;
}

/** Header of a digest table. */
export interface DumpedTable {
  readonly file: string;
  readonly sizeBytes: number;
  readonly absentIsZero: boolean;
  /** What its digests are true for; null: it was being changed. */
  readonly point: DumpedPoint | null;
  readonly ours: boolean;
}

export interface DumpedIntent {
  readonly file: string;
  readonly sizeBytes: number;
  readonly extentBytes: number;
  readonly extents: number;
  /** Perhaps written since the last checkpoint. */
  readonly setExtents: number;
  readonly ours: boolean;
}

export interface DumpedTarget extends Omit<TargetRecord, 'point' | 'proposed'> {
  readonly name: string;
  readonly point: DumpedPoint | null;
  /** The point of a round that was handed out and whose outcome is not known. */
  readonly proposed: DumpedPoint | null;
}

export interface DumpedEntry extends Omit<PointEntry, 'point' | 'parent'> {
  readonly point: DumpedPoint;
  readonly parent: string | null;
}

export interface ResourceDump {
  readonly directory: string;
  readonly generation: number;
  /** Both copies of the state are whole and of the same generation. */
  readonly copiesAgree: boolean;
  readonly name: string;
  readonly resource: string | null;
  readonly sizeBytes: number;
  readonly extentBytes: number;
  readonly keepdirty: number;
  readonly role: ResourceState['role'];
  readonly remembered: ResourceState['remembered'];
  readonly nextPoint: number;
  readonly written: boolean;
  /** Null: no run as primary has left its maps here, and only those can end uncleanly. */
  readonly cleanStop: boolean | null;
  readonly running: { readonly bootId: string; readonly metaflush: boolean } | null;
  readonly doubt: string | null;
  readonly epochs: readonly {
    readonly id: string;
    readonly number: number;
    readonly parent: string | null;
    readonly node: string;
  }[];
  /** Number of remembered ids of points. */
  readonly knownPoints: number;
  readonly targets: readonly DumpedTarget[];
  readonly replica: {
    readonly point: DumpedPoint | null;
    readonly suspect: string | null;
    readonly lostPoint: string | null;
    /** Chunks that had changed here behind the daemon's back, in all. */
    readonly driftChunks: number;
    /** Oldest first. */
    readonly chain: readonly DumpedEntry[];
  };
  readonly maps: readonly (DumpedMap | Unreadable)[];
  readonly tables: readonly (DumpedTable | Unreadable)[];
  readonly intent: DumpedIntent | Unreadable | null;
}

/** Errors STATE_MISSING, STATE_UNREADABLE, FORMAT_VERSION, FILE_FAILED where permission is missing;
 * everything else is told in its place. */
export async function dumpResource(files: Files, directory: string): Promise<ResourceDump> {
  const file = ResourceFile.load(files, directory);
  const { state, copiesAgreed } = await file.catch(async (error: unknown) => {
    throw (await forbidden(files, directory)) ?? error;
  });
  const { replica, clean, running } = state;
  const names = await files.list(directory);
  const read = <T>(file: string, reader: (handle: FileHandle) => Promise<T>) =>
    readPart(files, directory, file, reader);
  const parts = <T>(ending: string, reader: (handle: FileHandle, file: string) => Promise<T>) =>
    inTurn(
      names.filter((name) => name.endsWith(ending)),
      (file) => read(file, (handle) => reader(handle, file)),
    );
  return {
    directory,
    generation: state.generation,
    copiesAgree: copiesAgreed,
    name: state.name,
    resource: idOf(state.resource),
    sizeBytes: state.sizeBytes,
    extentBytes: state.extentBytes,
    keepdirty: state.keepdirty,
    role: state.role,
    remembered: state.remembered,
    nextPoint: state.nextPoint,
    written: state.written,
    cleanStop: clean === null && running === null ? null : clean !== null,
    running: running && { bootId: running.bootId, metaflush: running.metaflush },
    doubt: state.doubt,
    epochs: state.epochs.map((epoch) => ({
      ...epoch,
      id: hex(epoch.id),
      parent: idOf(epoch.parent),
    })),
    knownPoints: state.knownPoints.length,
    targets: Object.entries(state.targets).map(([name, record]) => dumpedTarget(name, record)),
    replica: {
      point: pointOf(replica.point),
      suspect: replica.suspect,
      lostPoint: idOf(replica.lostPoint),
      driftChunks: replica.driftChunks,
      chain: replica.chain.map((entry) => ({
        ...entry,
        point: dumpedPoint(entry.point),
        parent: idOf(entry.parent),
      })),
    },
    maps: await parts(DIRTY_ENDING, (handle, file) => readMap(handle, file, state)),
    tables: await parts(TABLE_ENDING, (handle, file) => readTable(handle, file, state)),
    intent: names.includes(INTENT_FILE)
      ? await read(INTENT_FILE, (handle) => readIntent(handle, state))
      : null,
  };
}

/** Who may not read the state must not be told that it is damaged. */
async function forbidden(files: Files, directory: string): Promise<HastError | null> {
  try {
    await files.readWhole(`${directory}/${RESOURCE_FILE}`, RESOURCE_STATE_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof FilesError && error.fault.code === 'FILE_FAILED')) return null;
    if (['EACCES', 'EPERM'].includes(error.fault.errno)) return error;
  }
  return null;
}

const idOf = (id: Uint8Array | null): string | null => (id === null ? null : hex(id));
const dumpedPoint = (point: PointRef): DumpedPoint => ({
  id: hex(point.id),
  number: point.number,
  time: isoTime(point.timeMs),
});
const pointOf = (point: PointRef | null): DumpedPoint | null => point && dumpedPoint(point);

function dumpedTarget(name: string, record: TargetRecord): DumpedTarget {
  const proposed = pointOf(record.proposed?.point ?? null);
  return { ...record, name, point: pointOf(record.point), proposed };
}

const isOurs = (state: ResourceState, resource: Uint8Array): boolean =>
  state.resource !== null && Buffer.compare(state.resource, resource) === 0;

/** Any typed error of a part is its `problem`; our own mistakes are not. */
async function readPart<T>(
  files: Files,
  directory: string,
  file: string,
  reader: (handle: FileHandle) => Promise<T>,
): Promise<T | Unreadable> {
  try {
    const handle = await files.open(`${directory}/${file}`, 'read');
    try {
      return await reader(handle);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (!(error instanceof HastError)) throw error;
    return { file, problem: error.message };
  }
}

async function inTurn<T>(
  names: readonly string[],
  each: (name: string) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (const name of names) results.push(await each(name));
  return results;
}

async function readMap(handle: FileHandle, file: string, state: ResourceState): Promise<DumpedMap> {
  const { header, pages } = await openDirty(handle);
  let dirtyBlocks = 0;
  for await (const page of pages()) dirtyBlocks += blocksIn(page, blockCount(header.sizeBytes));
  const dirtyBytes = Math.min(dirtyBlocks * BLOCK_BYTES, state.sizeBytes);
  const ours = isOurs(state, header.resource);
  return { file, dirtyBlocks, dirtyBytes, generation: header.generation, ours };
}

/** Bits beyond the block count have no meaning. */
function blocksIn({ page, bits }: MapPage, blocks: number): number {
  const limit = Math.min(MAP_PAGE_BITS, blocks - page * MAP_PAGE_BITS);
  return bits === 'ones' ? limit : setBits(bits, limit);
}

/** Set bits among the first `limit`. */
function setBits(bytes: Uint8Array, limit: number): number {
  let count = 0;
  for (let at = 0; at * 8 < limit; at += 1) {
    const left = limit - at * 8;
    count += bitCount((bytes[at] ?? 0) & (left < 8 ? (1 << left) - 1 : 0xff));
  }
  return count;
}

async function readTable(
  handle: FileHandle,
  file: string,
  state: ResourceState,
): Promise<DumpedTable> {
  const { resource, sizeBytes, absentIsZero, point } = decodeTableHeader(
    await firstBytes(handle, TABLE_PAGE_BYTES),
    handle.path,
  );
  return { file, sizeBytes, absentIsZero, point: pointOf(point), ours: isOurs(state, resource) };
}

async function readIntent(handle: FileHandle, state: ResourceState): Promise<DumpedIntent> {
  const header = decodeIntentHeader(await firstBytes(handle, INTENT_PAGE_BYTES), handle.path);
  const extents = extentCount(header);
  const copies = new Uint8Array(2 * INTENT_PAGE_BYTES);
  let setExtents = 0;
  for (let index = 0; index < intentPages(header); index += 1) {
    copies.fill(0);
    await handle.read(copies, intentPageOffset(index));
    const limit = Math.min(INTENT_PAGE_BITS, extents - index * INTENT_PAGE_BITS);
    setExtents += setBits(uniteCopies(copies), limit);
  }
  const { sizeBytes, extentBytes } = header;
  const ours = isOurs(state, header.resource);
  return { file: INTENT_FILE, sizeBytes, extentBytes, extents, setExtents, ours };
}

/** The first bytes of a file, fewer where it is shorter. */
async function firstBytes(handle: FileHandle, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  return into.subarray(0, await handle.read(into, 0));
}
