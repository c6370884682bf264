// resource.json: what a node knows of one resource beside maps and tables (DESIGN.md §4). One line
// of header with a checksum, then JSON; two copies with a generation, the higher valid one wins.
// Ids are 16 bytes in memory and lower-case hexadecimal in the file; times are wall milliseconds.
import { z } from 'zod';
import { assert } from '../base/assert.js';
import { checkOf } from '../base/digest.js';
import { FilesError } from '../base/files.js';
import { hex } from '../base/random.js';
import { CHUNK_BYTES, DISK_BYTES_MAX, ID_BYTES, SECTOR_BYTES, TIME_MS_MAX } from '../base/units.js';
import { FormatError } from './changeset.js';

/** Most bytes of the file that are read; the list of known points is its bulk. */
export const RESOURCE_STATE_BYTES_MAX = 32 * 1024 * 1024;
/** Chunks that a point names as lost or damaged; with CHAIN_MAX points the file stays below that.
 */
export const NAMED_CHUNKS_MAX = 64;
/** Ids of points and rounds are kept this long (receiver step 5, H37). */
export const KNOWN_POINTS_MAX = 10_000;
/** Of a pinned point. */
const POINT_NAME_BYTES_MAX = 64;
const EPOCHS_MAX = 1_000;
const CHAIN_MAX = 10_001;

const id = z
  .string()
  .regex(/^[0-9a-f]{32}$/)
  .transform((text): Uint8Array => new Uint8Array(Buffer.from(text, 'hex')));
const whole = z.number().int().nonnegative();
/** Of a disk; 0: not known yet. */
const diskSize = whole.max(DISK_BYTES_MAX).multipleOf(SECTOR_BYTES);
/** As intent-file.ts has it, or 0: none yet. What maps are allocated follows from both. */
const isExtentSize = (bytes: number): boolean =>
  bytes === 0 || (bytes >= CHUNK_BYTES && bytes < 2 ** 32 && Number.isInteger(Math.log2(bytes)));
const extentSize = whole.refine(isExtentSize, { error: 'not a size of extents' });
/** Wall time, one that can be shown. */
const time = whole.max(TIME_MS_MAX);
const pointRef = z.object({ id, number: whole, timeMs: time });
const epoch = z.object({ id, number: whole, parent: id.nullable(), node: z.string() });
const consistency = z.enum(['crash', 'quiesced', 'damaged']);

const fingerprint = z.record(z.string(), z.union([z.string(), z.number(), z.null()]));

const targetRecord = z.object({
  /** Last point known to be committed there. */
  point: pointRef.nullable(),
  /** A round handed out and not yet settled (ladder step 1). */
  proposed: z.object({ point: pointRef, from: pointRef.nullable() }).nullable(),
  lastRunMs: time.nullable(),
  verifiedMs: time.nullable(),
  /** A clean stop left nothing dirty: the target has all of it. */
  drained: z.boolean(),
  /** The configuration left it out for a time: its map says nothing, everything is compared. */
  away: z.boolean(),
  /** `hastctl pause`: its schedule is held. */
  paused: z.boolean(),
  /** `hastctl set rate`, bits a second, 0 no limit; null: the configuration's. */
  rateBitsPerSecond: whole.nullable(),
  /** Rounds that failed or were refused since the last committed one. */
  failedRounds: whole,
  /** Chunks sent whole because they had changed at the target (H28), in all. */
  driftChunks: whole,
  /** Chunks of the local disk that differed from the table unmarked (H11), in all. */
  untrackedChunks: whole,
  /** Next chunk of the background pass. */
  scrubChunk: whole,
  /** Chunks of the last point that could not be read (H21). */
  damagedChunks: whole,
  /** Of an archive: where it was at the last contact. */
  place: z.string().exactOptional(),
  /** Of an archive: it was found at an older point than the last one known there, by their numbers;
   * until a verification agrees. */
  setBack: z.object({ from: whole, to: whole, timeMs: time }).exactOptional(),
});

/** A point a replica can still read. `undo`: file that takes the next newer point back to this one;
 * null for the newest. `lost`: chunks whose content is not this point's any more (H27), the first
 * NAMED_CHUNKS_MAX of `lostChunks`; `damaged` likewise. */
const pointEntry = z.object({
  point: pointRef,
  parent: id.nullable(),
  consistency,
  sizeBytes: diskSize,
  changedBytes: whole,
  /** Of a pinned point, which stays as long as it has one. */
  name: z.string().max(POINT_NAME_BYTES_MAX).exactOptional(),
  undo: z.string().nullable(),
  lost: z.array(whole),
  lostChunks: whole,
  /** Chunks that the primary could not read and that kept older content (H21). */
  damaged: z.array(whole),
  damagedChunks: whole,
});

const replicaRecord = z.object({
  point: pointRef.nullable(),
  /** Oldest first; the last one is `point`. The only truth about history (H32). */
  chain: z.array(pointEntry).max(CHAIN_MAX),
  fingerprint: fingerprint.nullable(),
  /** Why the disk may not be what the table says; null when it is trusted (H28). */
  suspect: z.string().nullable(),
  /** Id of a point that was committed but not kept (receiver ladder, last line). */
  lostPoint: id.nullable(),
  /** Of the round that is being committed and applied: what its point could not have whole (H21),
   * and what the point before loses by it (H27). */
  noted: z
    .object({ round: id, damaged: z.array(whole), lost: z.array(whole), lostChunks: whole })
    .nullable(),
  /** Chunks that had changed behind our back and were asked for whole, in all (H28). */
  driftChunks: whole,
});

const stateSchema = z.object({
  generation: whole,
  name: z.string(),
  resource: id.nullable(),
  sizeBytes: diskSize,
  extentBytes: extentSize,
  keepdirty: whole,
  role: z.enum(['init', 'primary', 'secondary']),
  /** The role an operator gave last; a stop of hastd does not change it (H38). */
  remembered: z.enum(['init', 'primary', 'secondary']),
  nextPoint: whole,
  epochs: z.array(epoch).max(EPOCHS_MAX),
  /** A guest has written in the last epoch (H37). */
  written: z.boolean(),
  /** Ids of points of this lineage, newest last. */
  knownPoints: z.array(id).max(KNOWN_POINTS_MAX),
  targets: z.record(z.string(), targetRecord),
  replica: replicaRecord,
  /** Set by a clean stop, removed before the export opens again (H8). `maps`: the generation that
   * every TARGET.dirty was published under. */
  clean: z.object({ fingerprint, maps: whole }).nullable(),
  /** Boot and disk of the run that holds the maps. `maps`: the least generation that a TARGET.dirty
   * of it was published under. */
  running: z
    .object({ bootId: z.string(), fingerprint, metaflush: z.boolean(), maps: whole })
    .nullable(),
  /** Why every chunk must be compared at the next start (H18); null: no such reason. */
  doubt: z.string().nullable(),
});

export type ResourceState = z.infer<typeof stateSchema>;
export type TargetRecord = z.infer<typeof targetRecord>;
export type ReplicaRecord = z.infer<typeof replicaRecord>;
export type PointEntry = z.infer<typeof pointEntry>;

export const EMPTY_TARGET: TargetRecord = {
  point: null,
  proposed: null,
  lastRunMs: null,
  verifiedMs: null,
  drained: false,
  away: false,
  paused: false,
  rateBitsPerSecond: null,
  failedRounds: 0,
  driftChunks: 0,
  untrackedChunks: 0,
  scrubChunk: 0,
  damagedChunks: 0,
};

export const EMPTY_REPLICA: ReplicaRecord = {
  point: null,
  chain: [],
  fingerprint: null,
  suspect: null,
  lostPoint: null,
  noted: null,
  driftChunks: 0,
};

/** Of the file: the number in its first line. */
const VERSION = 1;
const HEADER = `hast resource ${VERSION} `;

/** The bytes of the file. */
export function encodeResourceState(state: ResourceState): Uint8Array {
  const body = Buffer.from(`${JSON.stringify(state, bytesAsHex)}\n`);
  // What could not be read again is not written.
  const bytesMax = RESOURCE_STATE_BYTES_MAX;
  if (body.length > bytesMax / 2) {
    const fault = { path: state.name, bytes: body.length, bytesMax: bytesMax / 2 };
    throw new FilesError({ code: 'FILE_TOO_LARGE', ...fault });
  }
  return Buffer.concat([Buffer.from(`${HEADER}${hex(checkOf(body))}\n`), body]);
}

function bytesAsHex(this: unknown, key: string, value: unknown): unknown {
  const raw: unknown = (this as Record<string, unknown>)[key];
  if (!(raw instanceof Uint8Array)) return value;
  assert(raw.length === ID_BYTES, 'bytes in the state are ids, which can be read again');
  return hex(raw);
}

/** Decodes and checks; error FORMAT_BAD or FORMAT_VERSION naming `place`. */
export function decodeResourceState(bytes: Uint8Array, place: string): ResourceState {
  const bad = (why: string): never => {
    throw new FormatError({ code: 'FORMAT_BAD', what: 'resource state', place, why });
  };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = text.indexOf(10);
  const header = end < 0 ? '' : text.toString('latin1', 0, end);
  const match = /^hast resource (0|[1-9]\d{0,5}) ([0-9a-f]{16})$/.exec(header);
  if (!match) return bad('its first line is not a header');
  const version = Number(match[1]);
  if (version !== VERSION) {
    const fault = { what: 'resource state', place, version, reads: VERSION };
    throw new FormatError({ code: 'FORMAT_VERSION', ...fault });
  }
  const body = text.subarray(end + 1);
  if (hex(checkOf(body)) !== match[2]) return bad('its checksum does not fit its content');
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    return bad('it is not JSON');
  }
  const parsed = stateSchema.safeParse(value);
  return parsed.success ? parsed.data : bad(parsed.error.issues[0]?.message ?? 'fields are wrong');
}
