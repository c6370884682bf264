// Replica: the receiving side of one resource, from start to end of its role. Owns the disk, its
// table, the chain of undos and the state file; one session at a time writes through it (C3,
// receiver step 1). Commit is a rename; apply follows it, and a crash repeats from the first step
// whose result is missing (RULES.md §1), so the replica opens at a whole point (C1).
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { describeError, HastError } from '../base/errors.js';
import { allEnded, Mutex } from '../base/sync.js';
import type { ChunkIndex } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { KNOWN_POINTS_MAX, type ReplicaRecord } from '../format/resource-state.js';
import { ChainReaders } from '../history/chain-readers.js';
import { type PointRef, type RoundId, sameId } from '../lineage/lineage.js';
import type { Begin, Outcome } from '../target/target.js';
import type { ChunkSet } from '../tracking/chunk-set.js';
import { DigestTable } from '../tracking/digest-table.js';
import { applyCommitted, noteOf } from './apply.js';
import { Doubter, mendLost } from './doubter.js';
import type { HeldStages } from './held-stages.js';
import { ReceiveError, type ReplicaParts } from './parts.js';
import { ReplicaPruning } from './pruning.js';
import type { Receiving } from './receiving.js';
import { mendCopies, recoverCommitted, removeLeftovers, watchOf } from './recovery.js';
import { Staging } from './staging.js';

export const REPLICA_TABLE = 'disk.digests';

export class Replica implements Receiving {
  readonly parts: ReplicaParts;
  /** Held by the session that may write; a new one waits for the end of the old (C3). */
  readonly writer = new Mutex();
  #device: Device | null = null;
  #table: DigestTable | null = null;
  /** The last committed point when it is not applied yet. */
  #committed: PointRef | null = null;
  #applying: Promise<void> = Promise.resolve();
  #applyError: HastError | null = null;
  #work: 'idle' | 'applying' = 'idle';
  #undecided = false;
  #fill: RoundId | null = null;
  #refused: { readonly atMs: number; readonly error: HastError } | null = null;
  readonly staging: Staging;
  /** Of the points of the chain. */
  readonly readers: ChainReaders;
  readonly pruning: ReplicaPruning;
  readonly #doubter: Doubter;
  /** Not yet in the published count. */
  #drift = 0;

  constructor(parts: ReplicaParts) {
    this.parts = parts;
    this.#doubter = new Doubter(this);
    this.readers = new ChainReaders(this);
    this.pruning = new ReplicaPruning(this);
    this.staging = new Staging(parts.files, parts.resourceFile.directory);
  }

  get directory(): string {
    return this.parts.resourceFile.directory;
  }

  get record(): ReplicaRecord {
    return this.parts.resourceFile.state.replica;
  }

  get point(): PointRef | null {
    return this.#committed ?? this.record.point;
  }

  /** Why the last round that wanted to begin could not; null once one has begun. */
  get refused(): { readonly atMs: number; readonly error: HastError } | null {
    return this.#refused;
  }

  noteRefusal(error: unknown): void {
    if (!(error instanceof HastError)) {
      this.#refused = null;
      return;
    }
    if (this.#refused?.error.message !== error.message) {
      this.parts.log.warn('a round could not begin here', { why: error.message });
    }
    this.#refused = { atMs: this.parts.clock.wallMs(), error };
  }

  get applyError(): HastError | null {
    return this.#applyError;
  }

  get work(): 'idle' | 'applying' | 'comparing' {
    return this.comparing === null ? this.#work : 'comparing';
  }

  get doubts(): ChunkSet | null {
    return this.#doubter.doubts;
  }

  /** How far the disk is compared with its table, in words; null: that does not run. */
  get comparing(): string | null {
    return this.#doubter.comparing;
  }

  /** Resolves when a comparison that runs has ended. */
  compared(): Promise<void> {
    return this.#doubter.idle();
  }

  /** False: no round has got as far as to disk and table yet. */
  get isOpen(): boolean {
    return this.#device !== null && this.#table !== null;
  }

  get device(): Device {
    return present(this.#device, 'the disk is open');
  }

  get table(): DigestTable {
    return present(this.#table, 'the table is open');
  }

  /** Opens disk and table if the resource is known, and finishes what a crash left. */
  async open(): Promise<void> {
    const { state } = this.parts.resourceFile;
    if (state.resource === null || state.sizeBytes === 0) return;
    await mendCopies(this.parts);
    await this.openDisk();
    const left = await recoverCommitted(this);
    if (!left || this.record.suspect !== null) await this.#doubter.look();
    // An apply that goes on failing has left a mixture, and needs the room of its undo again.
    if (this.#applyError !== null) return;
    await mendLost(this, left);
    await removeLeftovers(this);
    this.pruning.wake();
  }

  /** The disk has room for `sizeBytes`; it is made larger where it is a file (H14). What that does
   * to its fingerprint is the caller's (room.ts). Errors of parts.openDevice. */
  async ensureSize(sizeBytes: number): Promise<void> {
    if (this.device.sizeBytes >= sizeBytes) return;
    await this.idle();
    const smaller = this.#device;
    // At once: readers of older points go on.
    this.#device = await this.parts.openDevice(sizeBytes);
    await smaller?.close();
  }

  heldStages = (begin: Begin): Promise<HeldStages | null> => this.staging.held(begin);

  dropHeld = (): Promise<void> => this.staging.dropHeld();

  async makeRoom(): Promise<void> {
    await this.pruning.giveWay();
    await this.dropHeld();
  }

  noteDamage(round: Uint8Array, damaged: readonly ChunkIndex[]): Promise<void> {
    return noteOf(this, round, (noted) => ({ ...noted, damaged: [...damaged] }));
  }

  /** Counted; published with the next state. */
  noteDrift(chunks: number): void {
    this.#drift += chunks;
    this.parts.log.warn('chunks have changed behind our back; they are to come whole', { chunks });
  }

  /** Chunks that had changed behind our back, in all (H28). */
  get driftChunks(): number {
    return this.record.driftChunks + this.#drift;
  }

  /** Opens the disk, unless it is open. Errors of parts.openDevice. */
  async openDevice(sizeBytes: number): Promise<void> {
    this.#device ??= await this.parts.openDevice(sizeBytes);
  }

  /** Opens disk and table; the state has resource id and size. */
  async openDisk(): Promise<void> {
    const { path, facts } = this.#tablePlace();
    await this.openDevice(facts.sizeBytes);
    this.#table ??= await DigestTable.open(this.parts.files, path, facts, await watchOf(this));
  }

  /** The first copy under way in this process; null: none. */
  get fill(): RoundId | null {
    return this.record.point === null ? this.#fill : null;
  }

  /** A first copy begins: an empty table, whose holes mean zero chunks. It lives as long as this
   * object: what a crash leaves of it is compared anew. */
  async startFill(fill: RoundId): Promise<void> {
    this.#fill = null;
    await this.renewTable(true);
    this.#fill = fill;
  }

  /** An empty table, true for no point, in place of the one there is. */
  async renewTable(absentIsZero: boolean): Promise<DigestTable> {
    const { files } = this.parts;
    const { path, facts } = this.#tablePlace();
    await this.#table?.close();
    this.#table = null;
    const watch = await watchOf(this);
    this.#table = await DigestTable.create(files, path, facts, absentIsZero, watch);
    return this.#table;
  }

  #tablePlace() {
    const { resource: id, sizeBytes } = this.parts.resourceFile.state;
    const resource = present(id, 'the resource has an id');
    return { path: `${this.directory}/${REPLICA_TABLE}`, facts: { resource, sizeBytes } };
  }

  /** Step 4 broke off between rename and fsync, or, of a first copy, between the two copies of the
   * state: a start says what became of the round. */
  cannotTell(cause: unknown): void {
    const { name: resource } = this.parts.resourceFile.state;
    const fault = { code: 'APPLY_FAILED' as const, resource, text: describeError(cause) };
    this.#applyError = new ReceiveError(fault, { cause });
    this.#undecided = true;
  }

  outcome(round: Uint8Array): Outcome {
    if (this.#undecided && this.#applyError) throw this.#applyError;
    const { knownPoints } = this.parts.resourceFile.state;
    if (sameId(this.point?.id, round)) return 'committed';
    if (knownPoints.some((id) => equalBytes(id, round))) return 'committed';
    // Here it is, and not committed: nothing of it can have been forgotten.
    if (this.staging.incoming?.is(round)) return 'none';
    return knownPoints.length < KNOWN_POINTS_MAX ? 'none' : 'forgotten';
  }

  startApply(to: PointRef, name: string): void {
    this.#committed = to;
    this.#work = 'applying';
    this.#applying = this.#applying.then(() => this.#apply(to, name));
  }

  async idle(): Promise<void> {
    await this.#applying;
    if (this.#applyError) throw this.#applyError;
  }

  async applyEnded(): Promise<void> {
    await this.#applying;
  }

  async markSuspect(why: string): Promise<void> {
    this.parts.log.error('the replica disk is suspect', { why });
    await this.parts.resourceFile.update((state) => ({
      ...state,
      replica: { ...state.replica, suspect: why },
    }));
  }

  async doubtAll(why: string): Promise<void> {
    await this.markSuspect(why);
    await this.#doubter.look();
  }

  async close(): Promise<void> {
    await this.readers.close();
    await this.pruning.stop();
    await this.#doubter.stop();
    await this.#applying;
    const [table, device] = [this.#table, this.#device];
    const { name: resource } = this.parts.resourceFile.state;
    const over = new ReceiveError({ code: 'REPLICA_CLOSED', resource });
    await allEnded([
      () => this.staging.end(over),
      async () => table?.close(),
      async () => device?.close(),
    ]);
    this.#table = null;
    this.#device = null;
  }

  async #apply(to: PointRef, name: string): Promise<void> {
    try {
      const drift = this.#drift;
      await applyCommitted(this, name, drift);
      this.#drift -= drift;
      this.#doubter.settled();
      this.parts.log.info('point applied', { number: to.number });
      this.pruning.wake();
    } catch (error) {
      const { name: resource } = this.parts.resourceFile.state;
      const text = describeError(error);
      this.#applyError = new ReceiveError(
        { code: 'APPLY_FAILED', resource, text },
        { cause: error },
      );
      this.parts.log.error('a committed point could not be applied', { error: text });
      return;
    } finally {
      this.#work = 'idle';
    }
    if (sameId(this.#committed?.id, to.id)) this.#committed = null;
  }
}
