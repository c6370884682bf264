// What a round works with, its counters, and the ways it can end badly. One RoundParts per target
// of a primary; everything is handed in (STYLE 13).
import type { Clock } from '../base/clock.js';
import { errorClass } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import type { Compute } from '../format/compute.js';
import type { Relation } from '../lineage/lineage.js';
import type { DigestTable } from '../tracking/digest-table.js';
import type { EntryLog } from '../tracking/entry-log.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { Volume } from '../volume/volume.js';
import type { DirtyKeeper } from './dirty-keeper.js';

export interface RoundParts {
  readonly target: string;
  /** Index of the target's slot in the volume. */
  readonly slot: number;
  readonly resourceFile: ResourceFile;
  readonly files: Files;
  readonly volume: Volume;
  readonly dirty: DirtyKeeper;
  readonly table: DigestTable;
  readonly entries: EntryLog;
  readonly compute: Compute;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Counts of one round; bytes. Also its progress while it runs. */
export interface RoundCounts {
  kind: 'round' | 'pass' | 'settle';
  dirtyBytes: number;
  readBytes: number;
  skippedBytes: number;
  /** Raw bytes of the packed blocks. */
  sentBytes: number;
  doneBytes: number;
  totalBytes: number;
  /** Sent again after the link was lost; encoded bytes. The driver keeps it. */
  resentBytes: number;
  /** Raw bytes that the target still had staged from an earlier round (H31). */
  reusedBytes: number;
  /** Chunks sent whole because the target asked for them, or doubts them (H28). */
  driftChunks: number;
  /** Chunks that lost content because it could not be read (H21). */
  damagedChunks: number;
  /** All of it is durable at the target; what is waited for is its commit (H25). */
  staged: boolean;
}

export const newCounts = (kind: RoundCounts['kind']): RoundCounts => ({
  kind,
  dirtyBytes: 0,
  readBytes: 0,
  skippedBytes: 0,
  sentBytes: 0,
  doneBytes: 0,
  totalBytes: 0,
  resentBytes: 0,
  reusedBytes: 0,
  driftChunks: 0,
  damagedChunks: 0,
  staged: false,
});

export type RoundFault =
  | { code: 'ROUND_CUT_BUSY'; resource: string; seconds: number }
  | { code: 'ROUND_SPILL_FULL'; resource: string; spillBytes: number }
  | { code: 'ROUND_HARDEN_FAILED'; resource: string }
  | { code: 'ROUND_REFUSED'; target: string; reason: string; text: string }
  | { code: 'ROUND_SUSPECT'; resource: string }
  | { code: 'ROUND_DRIFT'; target: string; chunks: number }
  | { code: 'ROUND_STOPPED'; target: string }
  | { code: 'TARGET_DIVERGED'; target: string; relation: Relation; text: string };

export const RoundError = errorClass<RoundFault>('RoundError', {
  ROUND_CUT_BUSY: (f) =>
    `${f.resource}: the gate did not close within ${f.seconds} s; is the local disk hanging?`,
  ROUND_SPILL_FULL: (f) =>
    `${f.resource}: the spill (${f.spillBytes} bytes) could not keep what the guest overwrote; ` +
    'the round was given up, no guest write was held (raise "spill", or free space)',
  ROUND_HARDEN_FAILED: (f) =>
    `${f.resource}: fdatasync of the local disk failed; nothing was marked clean`,
  ROUND_REFUSED: (f) => `target ${f.target} refused the round (${f.reason}): ${f.text}`,
  ROUND_SUSPECT: (f) =>
    `${f.resource}: an fdatasync of the local disk has failed since hastd started; ` +
    'restart hastd after looking at the disk',
  ROUND_DRIFT: (f) =>
    `target ${f.target}: ${f.chunks} chunks had changed there, and here a guest has overwritten ` +
    'them meanwhile; the next round sends them whole',
  ROUND_STOPPED: (f) => `target ${f.target}: stopped`,
  TARGET_DIVERGED: (f) => `target ${f.target}: ${f.relation}: ${f.text}`,
});

/** The frozen set failed: what a guest overwrote could not be kept (H17). */
export const spillFull = (parts: RoundParts) =>
  new RoundError({
    code: 'ROUND_SPILL_FULL',
    resource: parts.resourceFile.state.name,
    spillBytes: parts.volume.spillBytesMax,
  });
