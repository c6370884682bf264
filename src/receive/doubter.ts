// Whether the replica's disk is what its table says (H28). A fingerprint that differs at open, or a
// suspicion kept from before, makes it suspect; then the whole disk is read, past the page cache,
// and compared with the table, in the background. What differs is `doubts`: a round must bring
// those chunks whole before it is committed; without any, the suspicion is over.
//
// What the table has lost is read from the disk at open, after that look and only where it found
// nothing: what a suspect disk holds must never become what it ought to hold. (An apply that a
// crash broke off has changed the disk itself: there is nothing to look at, and the page that this
// crash tore is read all the same.) A table without a point has lost everything: its header was
// bad. All this certifies what is read, as H27 forbids, for want of anything else that knows; the
// primary's own table still tells (hastctl verify). No more is read than a start can wait for.
// Beyond that the entries stay unknown, which costs digests, differences or a refusal in verify,
// and the name of good chunks as lost at the point before, never truth; to read 16 TiB again in the
// background would hold off rounds for half a day.
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import { FilesError } from '../base/files.js';
import { chunkCount } from '../base/units.js';
import type { DiskPrint } from '../disk/fingerprints.js';
import { ChunkSet } from '../tracking/chunk-set.js';
import type { DigestTable } from '../tracking/digest-table.js';
import { tableOfDisk } from './disk-digests.js';
import type { Receiving } from './receiving.js';
import { mendTable, type Recovering } from './recovery.js';

/** Chunks compared between two looks at whether to stop: 64 MiB. */
const STEP_CHUNKS = 1024;
/** Chunks of which a start reads the digest again: 64 GiB, minutes. */
const MEND_CHUNKS_MAX = 1_048_576;

/** A replica that is being opened, and whose table may have lost entries. */
export interface Mended extends Recovering {
  /** An empty table, true for no point, in place of the one it has. */
  renewTable(absentIsZero: boolean): Promise<DigestTable>;
}

/** Reads again what the table has lost. `left`: a crash had left a committed point, whose apply has
 * changed the disk since its fingerprint was taken. */
export async function mendLost(replica: Mended, left: boolean): Promise<void> {
  const { point, suspect, fingerprint } = replica.record;
  if (point === null || suspect !== null) return;
  const { log, resourceFile } = replica.parts;
  const chunks = chunkCount(resourceFile.state.sizeBytes);
  let { table } = replica;
  if (table.point === null && !left && fingerprint !== null && chunks <= MEND_CHUNKS_MAX) {
    log.warn('the digest table is lost; the disk is read again', { chunks });
    // What an entry of another life says is not looked at.
    table = await replica.renewTable(false);
    await table.finishChange(point);
  }
  let unknown = 0;
  for (let chunk = 0; chunk < chunks && unknown <= MEND_CHUNKS_MAX; chunk += 1) {
    if (table.get(chunk) === null) unknown += 1;
  }
  if (unknown > MEND_CHUNKS_MAX) log.warn('too much of the digest table is lost', { chunks });
  else if (unknown > 0) await mendTable(replica);
}

export class Doubter {
  readonly #replica: Receiving;
  #doubts: ChunkSet | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;
  #done = 0;

  constructor(replica: Receiving) {
    this.#replica = replica;
  }

  /** Null: nothing is in doubt, or it is not known yet what. */
  get doubts(): ChunkSet | null {
    return this.#doubts;
  }

  get comparing(): string | null {
    if (this.#running === null) return null;
    const chunks = chunkCount(this.#replica.parts.resourceFile.state.sizeBytes);
    const percent = Math.floor((this.#done * 100) / chunks);
    return `its disk is being compared with its table, ${percent} % done`;
  }

  /** At open: decides whether to compare, and begins. */
  async look(): Promise<void> {
    const { fingerprints, log } = this.#replica.parts;
    const { fingerprint, point, suspect } = this.#replica.record;
    if (point === null) return;
    let why = suspect;
    if (why === null && fingerprint !== null) {
      const now = await fingerprints.now();
      why = fingerprints.differs(fingerprint, now, 'untouched');
      if (why === null) await this.#remember(fingerprint, now);
    }
    if (why === null) return;
    log.warn('the replica disk may have been changed; comparing it with its table', { why });
    const reason = why;
    // Durable first: a crash before the end must not forget it.
    if (suspect === null) await this.#replica.markSuspect(reason);
    this.#running = this.#compare(reason)
      .catch((error: unknown) => {
        log.error('the replica disk could not be compared', { why: describeError(error) });
      })
      .finally(() => {
        this.#running = null;
      });
  }

  /** Resolves when a comparison that runs has ended. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** A committed round has brought all that was in doubt. */
  settled(): void {
    this.#doubts = null;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** What fits is compared with from now on: the boot it was taken in is this one, and a growth has
   * ended. */
  async #remember(before: DiskPrint, now: DiskPrint): Promise<void> {
    if (JSON.stringify(before) === JSON.stringify(now)) return;
    const { resourceFile, log } = this.#replica.parts;
    try {
      await resourceFile.update((state) => ({
        ...state,
        replica: { ...state.replica, fingerprint: now },
      }));
    } catch (error) {
      // The one before still fits: a start needs no space for this.
      if (!(error instanceof FilesError)) throw error;
      log.warn('the fingerprint could not be published', { why: describeError(error) });
    }
  }

  async #compare(why: string): Promise<void> {
    const { parts, device } = this.#replica;
    const { sizeBytes } = parts.resourceFile.state;
    const chunks = chunkCount(sizeBytes);
    const doubts = new ChunkSet(sizeBytes);
    device.dropCached(0, device.sizeBytes);
    for (let first = 0; first < chunks; first += STEP_CHUNKS) {
      if (this.#stopped) return;
      const count = Math.min(STEP_CHUNKS, chunks - first);
      await this.#compareStep(first, count, doubts);
      this.#done = first + count;
    }
    const fingerprint = await parts.fingerprints.now();
    const differ = doubts.count;
    if (differ === 0) {
      await parts.resourceFile.update((state) => ({
        ...state,
        replica: { ...state.replica, suspect: null, fingerprint },
      }));
      parts.log.info('the replica disk is what its table says', { chunks });
      return;
    }
    this.#doubts = doubts;
    this.#replica.noteDrift(differ);
    const first = why.replace(/; \d+ chunks differ from the table$/, '');
    await this.#replica.markSuspect(`${first}; ${differ} chunks differ from the table`);
  }

  /** What cannot be read is in doubt too: no entry is equal to its digest. */
  async #compareStep(first: number, count: number, doubts: ChunkSet): Promise<void> {
    const { parts, device, table } = this.#replica;
    await tableOfDisk(
      device,
      parts.compute,
      first,
      count,
      (chunk, digest) => {
        const known = table.get(chunk);
        if (known === null || !equalBytes(known, digest)) doubts.add(chunk);
      },
      parts.resourceFile.state.sizeBytes,
    );
  }
}
