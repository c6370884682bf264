// The replica as the pieces of the receiving side see it (replica.ts is all of it): its disk, table
// and state, what is in doubt, and the steps that belong to the whole.
import type { ChunkIndex } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { ReplicaRecord } from '../format/resource-state.js';
import type { PointRef } from '../lineage/lineage.js';
import type { Begin } from '../target/target.js';
import type { ChunkSet } from '../tracking/chunk-set.js';
import type { DigestTable } from '../tracking/digest-table.js';
import type { HeldStages } from './held-stages.js';
import type { ReplicaParts } from './parts.js';

export interface Receiving {
  readonly parts: ReplicaParts;
  readonly directory: string;
  readonly record: ReplicaRecord;
  /** Last committed point, applied or not (DESIGN.md §5). */
  readonly point: PointRef | null;
  readonly device: Device;
  readonly table: DigestTable;
  readonly work: 'idle' | 'applying' | 'comparing';
  /** Chunks that must come whole before a round is committed here (H28); null: not suspect, or not
   * known yet. */
  readonly doubts: ChunkSet | null;
  /** Resolves when nothing is being applied; rejects with APPLY_FAILED. */
  idle(): Promise<void>;
  /** What is staged of ended rounds that began where `begin` does; null before the first point. */
  heldStages(begin: Begin): Promise<HeldStages | null>;
  /** Removes everything that is staged but the round under way. */
  dropHeld(): Promise<void>;
  /** Gives back all room but that of what is committed. */
  makeRoom(): Promise<void>;
  /** Durable before the commit: which chunks the point could not have whole (H21). */
  noteDamage(round: Uint8Array, damaged: readonly ChunkIndex[]): Promise<void>;
  noteDrift(chunks: number): void;
  markSuspect(why: string): Promise<void>;
  /** Suspect, and compared as a whole in the background (H28). */
  doubtAll(why: string): Promise<void>;
  /** After step 4: applies in the background, one after another (H25). */
  startApply(to: PointRef, name: string): void;
}
