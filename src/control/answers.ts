// What an answer of the daemon must have, so that hastctl can show it: every field of api.ts in its
// type. Words may be ones that this release does not know, further fields may follow: neither keeps
// anybody from reading the rest. The same shape tells a whole line of the round log.
import { z } from 'zod';
import type {
  EstimateAnswer,
  NotesAnswer,
  PointRecord,
  RoleAnswer,
  RoundRecord,
  StatusAnswer,
  SyncAnswer,
  VerifyAnswer,
} from './api.js';
import type { PruneAnswer, RepackAnswer } from './retention-api.js';

const text = z.string();
const count = z.number();
const flag = z.boolean();
/** One of the words of api.ts, or of a later release. */
const word = <T extends string>() => z.custom<T>((value) => typeof value === 'string');
const rowOf = <T extends z.ZodType>(item: T) => z.array(item);

const roundRecord = z.object({
  id: text,
  target: text,
  point: count.nullable(),
  outcome: word<RoundRecord['outcome']>(),
  cutTime: text.nullable(),
  seconds: count,
  dirtyBytes: count,
  readBytes: count,
  skippedBytes: count,
  sentBytes: count,
  wireUpBytes: count,
  wireDownBytes: count,
  guestBytes: count,
  resentBytes: count,
  reusedBytes: count,
  driftChunks: count,
  damagedChunks: count,
  requests: z
    .object({ put: count, get: count, head: count, list: count, remove: count })
    .exactOptional(),
  error: text.nullable(),
});

export const pointRecord = z.object({
  id: text,
  number: count,
  time: text,
  parent: text.nullable(),
  name: text.nullable(),
  consistency: word<PointRecord['consistency']>(),
  sizeBytes: count,
  changedBytes: count,
  target: text.nullable(),
  lostChunks: count,
  damagedChunks: count,
});

const progress = z.object({
  id: text,
  kind: word<'round' | 'pass' | 'settle'>(),
  doneBytes: count,
  totalBytes: count,
  sentBytes: count,
  wireUpBytes: count,
  bytesPerSecond: count,
  etaSeconds: count.nullable(),
  resentBytes: count,
});

type Resource = StatusAnswer['resources'][number];
type Target = Resource['targets'][number];
type Alarm = Resource['alarms'][number];

const targetStatus = z.object({
  name: text,
  kind: word<Target['kind']>(),
  remote: text.nullable(),
  link: word<Target['link']>(),
  work: word<Target['work']>(),
  data: word<Target['data']>(),
  state: text,
  dirtyBytes: count,
  lastPoint: z.object({ id: text, number: count, time: text }).nullable(),
  archive: z.object({ points: count, lastStoredBytes: count }).exactOptional(),
  setBack: z.object({ from: count, to: count, time: text }).exactOptional(),
  lagSeconds: count.nullable(),
  nextRun: text.nullable(),
  skippedFirings: count,
  round: progress.nullable(),
  lastError: z.object({ time: text, code: text, text }).nullable(),
  verifiedAt: text.nullable(),
  paused: flag,
  rateBitsPerSecond: count.nullable(),
  maxLagSeconds: count.nullable(),
  failedRounds: count,
  unreachableSince: text.nullable(),
  driftChunks: count,
  untrackedChunks: count,
  damagedChunks: count,
  packs: z
    .object({
      packs: count,
      bytes: count,
      in30DaysBytes: count,
      in90DaysBytes: count,
      neverBytes: count,
      oldest: text.nullable(),
      damaged: count,
    })
    .exactOptional(),
});

const counters = z.object({
  reads: count,
  writes: count,
  deletes: count,
  flushes: count,
  activemapUpdates: count,
  readErrors: count,
  writeErrors: count,
  deleteErrors: count,
  flushErrors: count,
  writtenBytes: count,
  preservedChunks: count,
  gateHoldMicrosMax: count,
  gateHoldMicrosP99: count,
  gateHoldMicrosP999: count,
  preserveWaits: count,
  preserveWaitMicrosP99: count,
  firstTouches: count,
  firstTouchMicros: count,
  firstTouchMicrosMax: count,
  repairedBlocks: count,
});

const resourceStatus = z.object({
  name: text,
  role: word<Resource['role']>(),
  state: text,
  exportName: text,
  local: text,
  sizeBytes: count.nullable(),
  extentBytes: count.nullable(),
  keepdirty: count.nullable(),
  replication: word<Resource['replication']>(),
  nbdUri: text.nullable(),
  spillBytes: count,
  spillBytesMax: count,
  counters: counters.nullable(),
  error: text.nullable(),
  guests: count,
  alone: flag,
  hangsSince: text.nullable(),
  alarms: rowOf(
    z.object({
      level: word<Alarm['level']>(),
      target: text.nullable(),
      code: word<Alarm['code']>(),
      text,
    }),
  ),
  targets: rowOf(targetStatus),
});

const estimate = z.object({
  target: text,
  dirtyBytes: count,
  dirtyChunks: count,
  wireBytes: count,
  seconds: count.nullable(),
  bytesPerSecond: count.nullable(),
  spillBytes: count,
  spillBytesMax: count,
  targetBytes: count,
});

const point = z.object({ number: count, time: text });
const kept = rowOf(z.object({ number: count, time: text, keptBy: rowOf(text) }));
const pruned = z.object({
  target: text,
  url: text,
  dryRun: flag,
  removed: rowOf(point),
  pinned: rowOf(point),
  kept,
  packs: count,
  packBytes: count,
  heldPacks: count,
  heldBytes: count,
});

const prunedReplica = z.object({ dryRun: flag, removed: rowOf(point), kept });
const repacked = z.object({
  target: text,
  url: text,
  dryRun: flag,
  packs: count,
  packBytes: count,
  neededBytes: count,
  sendBytes: count,
  puts: count,
  holders: rowOf(point),
  heldPacks: count,
  heldBytes: count,
});

type Synced = SyncAnswer['outcomes'][number];
const synced = z.object({
  target: text,
  outcome: word<Synced['outcome']>(),
  point: count.nullable(),
  text,
});

const compared = z.object({
  target: text,
  chunks: count,
  differing: count,
  dirtyChunks: count,
  examples: rowOf(count),
  text,
});

/** By what was asked. */
export const ANSWERS = {
  status: z.object({ node: text, version: text, pid: count, resources: rowOf(resourceStatus) }),
  rounds: z.object({ rounds: rowOf(roundRecord) }),
  points: z.object({ points: rowOf(pointRecord) }),
  notes: z.object({ notes: rowOf(text) }),
  role: z.object({ role: word<RoleAnswer['role']>(), notes: rowOf(text) }),
  sync: z.object({ outcomes: rowOf(synced) }),
  verify: z.object({
    compared: word<VerifyAnswer['compared']>(),
    results: rowOf(compared),
  }),
  prune: z.object({ archives: rowOf(pruned), replica: prunedReplica.nullable() }),
  pin: z.object({ point: pointRecord }),
  repack: z.object({ archives: rowOf(repacked) }),
  estimate: z.object({ targets: rowOf(estimate) }),
} satisfies {
  readonly status: z.ZodType<StatusAnswer>;
  readonly rounds: z.ZodType<{ readonly rounds: readonly RoundRecord[] }>;
  readonly points: z.ZodType<{ readonly points: readonly PointRecord[] }>;
  readonly notes: z.ZodType<NotesAnswer>;
  readonly role: z.ZodType<RoleAnswer>;
  readonly sync: z.ZodType<SyncAnswer>;
  readonly verify: z.ZodType<VerifyAnswer>;
  readonly prune: z.ZodType<PruneAnswer>;
  readonly pin: z.ZodType<{ readonly point: PointRecord }>;
  readonly repack: z.ZodType<RepackAnswer>;
  readonly estimate: z.ZodType<EstimateAnswer>;
};

/** Null: it is one. Else the first field that is not as it must be. */
export function faultOf(schema: z.ZodType, value: unknown): string | null {
  const result = schema.safeParse(value);
  if (result.success) return null;
  const [issue] = result.error.issues;
  return `${issue?.path.join('.') || 'all of it'}: ${issue?.message ?? 'not as it must be'}`;
}

/** A whole record of the round log. */
export const isRoundRecord = (value: unknown): value is RoundRecord =>
  roundRecord.safeParse(value).success;
