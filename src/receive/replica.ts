// Replica: the receiving side of one resource, from start to end of its role. Owns the disk, its
// table, the chain of undos and the state file; one session at a time writes through it (C3,
// receiver step 1). Commit is a rename; apply follows it, and a crash repeats from the first step
// whose result is missing (RULES.md §1), so the replica opens at a whole point (C1).
import { present } from '../base/assert.js';
import { equalBytes } from '../base/digest.js';
import { codeOf, describeError, type HastError } from '../base/errors.js';
import { Mutex } from '../base/sync.js';
import { chunkCount } from '../base/units.js';
import type { Device } from '../disk/device.js';
import { openChangeset } from '../format/changeset-reader.js';
import { KNOWN_POINTS_MAX, type PointEntry, type ReplicaRecord } from '../format/resource-state.js';
import { rollBack, undoName } from '../history/undo.js';
import { type PointRef, sameId } from '../lineage/lineage.js';
import type { Outcome } from '../target/target.js';
import { DigestTable } from '../tracking/digest-table.js';
import { applyCommitted } from './apply.js';
import { tableOfDisk } from './disk-digests.js';
import { ReceiveError, type ReplicaParts } from './parts.js';
import { committedName } from './stage.js';

export const REPLICA_TABLE = 'disk.digests';

export class Replica {
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

  constructor(parts: ReplicaParts) {
    this.parts = parts;
  }

  get directory(): string {
    return this.parts.resourceFile.directory;
  }

  get record(): ReplicaRecord {
    return this.parts.resourceFile.state.replica;
  }

  /** Last committed point, applied or not (DESIGN.md §5). */
  get point(): PointRef | null {
    return this.#committed ?? this.record.point;
  }

  get applyError(): HastError | null {
    return this.#applyError;
  }

  get work(): 'idle' | 'applying' {
    return this.#work;
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
    await this.openDisk();
    const left = await this.#recover();
    await this.#mendTable();
    if (!left) await this.#checkFingerprint();
    await this.#removeLeftovers();
  }

  /** Opens disk and table; the state has resource id and size. */
  async openDisk(): Promise<void> {
    const { state } = this.parts.resourceFile;
    const resource = present(state.resource, 'the resource has an id');
    this.#device ??= await this.parts.openDevice(state.sizeBytes);
    const facts = { resource, sizeBytes: state.sizeBytes };
    const path = `${this.directory}/${REPLICA_TABLE}`;
    this.#table ??= await DigestTable.open(this.parts.files, path, facts);
  }

  /** An empty table whose holes mean zero chunks: a first copy begins. */
  async freshTable(): Promise<void> {
    const { state } = this.parts.resourceFile;
    const resource = present(state.resource, 'the resource has an id');
    await this.#table?.close();
    const path = `${this.directory}/${REPLICA_TABLE}`;
    const facts = { resource, sizeBytes: state.sizeBytes };
    this.#table = await DigestTable.create(this.parts.files, path, facts, true);
  }

  /** Step 4 broke off between rename and fsync: a start says what became of the round. */
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
    return knownPoints.length < KNOWN_POINTS_MAX ? 'none' : 'forgotten';
  }

  /** After step 4: applies in the background, one after another (H25). */
  startApply(to: PointRef, name: string): void {
    this.#committed = to;
    this.#work = 'applying';
    this.#applying = this.#applying.then(() => this.#apply(to, name));
  }

  /** Resolves when nothing is being applied; rejects with APPLY_FAILED. */
  async idle(): Promise<void> {
    await this.#applying;
    if (this.#applyError) throw this.#applyError;
  }

  async markSuspect(why: string): Promise<void> {
    this.parts.log.error('the replica disk is suspect', { why });
    await this.parts.resourceFile.update((state) => ({
      ...state,
      replica: { ...state.replica, suspect: why },
    }));
  }

  async close(): Promise<void> {
    await this.#applying;
    await this.#table?.close();
    await this.#device?.close();
    this.#table = null;
    this.#device = null;
  }

  async #apply(to: PointRef, name: string): Promise<void> {
    try {
      await applyCommitted(this, name);
      this.parts.log.info('point applied', { number: to.number });
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

  /** Repeats the apply of what a crash left committed. True: there was one. */
  async #recover(): Promise<boolean> {
    const { files, log } = this.parts;
    const names = await files.list(this.directory);
    let found = false;
    for (const name of names.filter((each) => each.startsWith('committed-'))) {
      const path = `${this.directory}/${name}`;
      const from = this.record.point;
      if (from !== null && name === committedName(from.id)) continue;
      const header = await readCommitted(this, path);
      if (header !== 'unreadable' && !sameId(header.from?.id, from?.id)) continue;
      found = true;
      if (header === 'unreadable') {
        await this.#loseCommitted(name, names);
        continue;
      }
      log.info('finishing the apply of a committed point', { number: header.to.number });
      this.startApply(header.to, name);
      await this.#applying;
    }
    return found;
  }

  /** Receiver ladder, last line: the committed file cannot be read any more. If its undo stands,
   * blocks may have been written: back to the point before; either way that point is lost. */
  async #loseCommitted(name: string, names: readonly string[]): Promise<void> {
    const path = `${this.directory}/${name}`;
    const lostPoint = new Uint8Array(Buffer.from(name.slice('committed-'.length), 'hex'));
    const from = this.record.point;
    if (from !== null && names.includes(undoName(from))) {
      const { files, pack } = this.parts;
      const { device, table, directory } = this;
      await rollBack({ files, directory, device, table, pack }, from);
    }
    this.parts.log.error('a committed point is unreadable and lost', { path });
    await this.parts.resourceFile.update((state) => ({
      ...state,
      replica: { ...state.replica, lostPoint, fingerprint: null },
    }));
    await this.parts.files.rename(path, path.replace('/committed-', '/lost-'));
  }

  /** A power failure may tear a page of the table while it is written (step 8); its entries are
   * then unknown. They are taken from the disk, which stands at the point since step 7. (H27 wants
   * an undo's digests never computed from what was read; that holds but for such a page, of which
   * nothing else is left here.) */
  async #mendTable(): Promise<void> {
    const { table, device, parts, record } = this;
    const { point } = table;
    if (point === null || record.suspect !== null || !sameId(point.id, record.point?.id)) return;
    const runs = [...table.unknownRuns()];
    if (runs.length === 0) return;
    parts.log.warn('pages of the digest table were torn; read again', { runs: runs.length });
    await table.beginChange();
    for (const { first, count } of runs) {
      await tableOfDisk(device, parts.compute, first, count, (chunk, digest) =>
        table.set(chunk, digest),
      );
    }
    await table.finishChange(point);
  }

  /** H28: a disk that changed behind our back is read again against the own table. */
  async #checkFingerprint(): Promise<void> {
    const { fingerprints, log } = this.parts;
    const { fingerprint, point } = this.record;
    if (point === null || fingerprint === null) return;
    const differs = fingerprints.differs(fingerprint, await fingerprints.now(), 'untouched');
    if (differs === null) return;
    log.warn('the replica disk was touched since; comparing it with its table', { differs });
    const changed = await this.compareWithTable();
    if (changed > 0) await this.markSuspect(`${differs}; ${changed} chunks differ from the table`);
  }

  /** Reads the whole disk; returns the number of chunks that are not the table's. */
  async compareWithTable(): Promise<number> {
    const { sizeBytes } = this.parts.resourceFile.state;
    let changed = 0;
    await tableOfDisk(
      this.device,
      this.parts.compute,
      0,
      chunkCount(sizeBytes),
      (chunk, digest) => {
        const known = this.table.get(chunk);
        if (known === null || !equalBytes(known, digest)) changed += 1;
      },
    );
    return changed;
  }

  /** Staged files of ended sessions, and undos that the published chain does not name (H32). */
  async #removeLeftovers(): Promise<void> {
    const { files } = this.parts;
    const named = new Set(this.record.chain.map((entry: PointEntry) => entry.undo));
    const failed = this.#applyError !== null;
    for (const name of await files.list(this.directory)) {
      const stray =
        name.startsWith('stage-') ||
        name.endsWith('.part') ||
        (!failed && name.startsWith('committed-')) ||
        (!failed && name.startsWith('undo-') && !named.has(name));
      if (stray) await files.remove(`${this.directory}/${name}`);
    }
  }
}

async function readCommitted(replica: Replica, path: string) {
  const handle = await replica.parts.files.open(path, 'read');
  try {
    const reader = await openChangeset(handle);
    for await (const _ of reader.frames());
    return reader.header;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'FORMAT_BAD' || code === 'FORMAT_VERSION') return 'unreadable' as const;
    throw error;
  } finally {
    await handle.close();
  }
}
