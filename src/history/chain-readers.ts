// Who reads the past of a replica, beside rounds that go on being applied to its disk (H32). The
// chain of undos stands in the published state alone. A reader takes it from there in one step with
// its registration, and from then on is told of each undo that comes to stand, which is before the
// first block of that apply is written: the number of its undos is the generation that it looks at
// again after it has read the disk (point-reader.ts). Nobody waits for a reader: not the apply, not
// `retain`. A dropped undo keeps its file while a reader of its point or of an older one is there;
// the last that leaves removes it, or the next start does, as a file that nothing names.
import { assert } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import { allEnded, Semaphore } from '../base/sync.js';
import { MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { PointEntry, ReplicaRecord } from '../format/resource-state.js';
import { type PointRef, type RoundId, sameId } from '../lineage/lineage.js';
import type { DigestTable } from '../tracking/digest-table.js';
import { Held } from './held.js';
import { HistoryError } from './history-faults.js';
import { ReplicaPoint, type UndoLink } from './point-reader.js';
import { UndoIndex } from './undo-index.js';
import { undoName } from './undo-room.js';

/** Of one replica, of all of its points. */
export const READERS_MAX = 8;
/** Pieces of indexes and frames, for all readers of a replica. */
const HELD_BYTES_MAX = 32 * MIB;
/** Chunks that are being read, for all readers of a replica. While a round is received or applied
 * it is one, followed by a pause as long as it took: the round comes first. */
const CHUNKS_AT_ONCE = 4;

/** The replica as far as its readers look at it. Disk and table may be replaced; `incoming`: a
 * round is being received. */
export interface ReadReplica {
  readonly parts: {
    readonly files: Files;
    readonly clock: Clock;
    readonly log: Log;
    readonly resourceFile: { readonly state: { readonly name: string } };
  };
  readonly directory: string;
  readonly record: ReplicaRecord;
  readonly device: Device;
  readonly table: DigestTable;
  readonly work: 'idle' | 'applying' | 'comparing';
  readonly staging: { readonly incoming: unknown };
}

export class ChainReaders {
  readonly #replica: ReadReplica;
  readonly #held = new Held(HELD_BYTES_MAX);
  readonly #turns = new Semaphore(CHUNKS_AT_ONCE);
  readonly #readers = new Map<ReplicaPoint, UndoLink[]>();
  readonly #indexes = new Map<string, Promise<UndoIndex>>();
  /** Dropped from the chain, and kept for readers. */
  readonly #dropped = new Set<string>();
  /** The undo that came to stand last, and the point it leads back to. */
  #newest: { readonly point: PointRef; readonly undo: UndoLink } | null = null;
  #closed = false;

  constructor(replica: ReadReplica) {
    this.#replica = replica;
  }

  get count(): number {
    return this.#readers.size;
  }

  /** A reader of a point of the chain, in the same turn as the caller has looked at the record: no
   * undo comes to stand in between. Errors POINT_READERS, POINT_CLOSED. */
  open(entry: PointEntry): ReplicaPoint {
    const { chain, point } = this.#replica.record;
    const at = chain.indexOf(entry);
    assert(at >= 0, 'the point is one of the chain');
    const { name: resource } = this.#replica.parts.resourceFile.state;
    const { number } = entry.point;
    if (this.#closed) throw new HistoryError({ code: 'POINT_CLOSED', resource, number });
    if (this.#readers.size >= READERS_MAX) {
      throw new HistoryError({ code: 'POINT_READERS', resource, readersMax: READERS_MAX });
    }
    const undos: UndoLink[] = chain
      .slice(at)
      .flatMap(({ undo, lost, lostChunks }) =>
        undo === null ? [] : [{ name: undo, lost, lostChunks }],
      );
    // Stands, and its apply has not been published.
    const newest = this.#newest;
    if (newest !== null && sameId(newest.point.id, point?.id)) undos.push(newest.undo);
    const reader: ReplicaPoint = new ReplicaPoint({
      resource,
      entry,
      undos,
      indexOf: (undo) => this.#indexOf(undo.name),
      inTurn: (work) => this.#inTurn(work),
      readDisk: (offset, into) => this.#replica.device.read(offset, into),
      tableDigest: (chunk) => copyOf(this.#replica.table.get(chunk)),
      leave: () => this.#leave(reader),
    });
    this.#readers.set(reader, undos);
    return reader;
  }

  /** The undo of `round` back to `point` stands (receiver step 6); no block of the round is written
   * yet. */
  undoStands(point: PointRef, round: RoundId): void {
    const { noted } = this.#replica.record;
    const isOf = noted !== null && equalBytes(noted.round, round);
    const { lost, lostChunks } = isOf ? noted : { lost: [], lostChunks: 0 };
    const undo = { name: undoName(point), lost, lostChunks };
    this.#newest = { point, undo };
    for (const undos of this.#readers.values()) {
      // An apply that is repeated finds its undo standing.
      if (!undos.some(({ name }) => name === undo.name)) undos.push(undo);
    }
  }

  /** The published chain names these no more. Returns those that nobody reads; the others are
   * removed when their last reader leaves. */
  dropped(names: readonly string[]): readonly string[] {
    const free = names.filter((name) => !this.#isRead(name));
    for (const name of names) {
      this.#indexes.delete(name);
      if (!free.includes(name)) this.#dropped.add(name);
    }
    if (free.length < names.length) {
      const fields = { files: names.length - free.length, readers: this.#readers.size };
      this.#replica.parts.log.info('dropped points are still being read', fields);
    }
    return free;
  }

  /** No reader is left, nor can one come: the disk may be closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await allEnded([...this.#readers.keys()].map((reader) => () => reader.close()));
  }

  async #leave(reader: ReplicaPoint): Promise<void> {
    this.#readers.delete(reader);
    if (this.#readers.size === 0) {
      this.#indexes.clear();
      this.#held.clear();
    }
    const { files, log } = this.#replica.parts;
    for (const name of [...this.#dropped].filter((each) => !this.#isRead(each))) {
      this.#dropped.delete(name);
      this.#indexes.delete(name);
      await files.remove(`${this.#replica.directory}/${name}`).catch((error: unknown) => {
        // The next start removes it.
        log.warn('a file could not be removed', { each: name, why: describeError(error) });
      });
    }
  }

  #isRead(name: string): boolean {
    for (const undos of this.#readers.values()) {
      if (undos.some((undo) => undo.name === name)) return true;
    }
    return false;
  }

  #indexOf(name: string): Promise<UndoIndex> {
    const known = this.#indexes.get(name);
    if (known !== undefined) return known;
    const { files } = this.#replica.parts;
    const opened = UndoIndex.open(files, `${this.#replica.directory}/${name}`, this.#held);
    this.#indexes.set(name, opened);
    opened.catch(() => {
      if (this.#indexes.get(name) === opened) this.#indexes.delete(name);
    });
    return opened;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const { work: doing, staging, parts } = this.#replica;
    const isBusy = doing === 'applying' || staging.incoming !== null;
    const places = isBusy ? CHUNKS_AT_ONCE : 1;
    await this.#turns.take(places);
    const { clock } = parts;
    const beganMs = clock.monotonicMs();
    try {
      return await work();
    } finally {
      const tookMs = clock.monotonicMs() - beganMs;
      if (isBusy && tookMs > 0) await clock.sleep(tookMs);
      this.#turns.give(places);
    }
  }
}

const copyOf = (digest: Uint8Array | null): Uint8Array | null =>
  digest === null ? null : new Uint8Array(digest);
