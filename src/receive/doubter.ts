// Whether the replica's disk is what its table says (H28). A fingerprint that differs at open, or a
// suspicion kept from before, makes it suspect; then the whole disk is read, past the page cache,
// and compared with the table, in the background. What differs is `doubts`: a round must bring
// those chunks whole before it is committed; without any, the suspicion is over.
import { equalBytes } from '../base/digest.js';
import { describeError } from '../base/errors.js';
import { chunkCount } from '../base/units.js';
import { DiskError } from '../disk/device.js';
import { ChunkSet } from '../tracking/chunk-set.js';
import { tableOfDisk } from './disk-digests.js';
import type { Receiving } from './receiving.js';

/** Chunks compared between two looks at whether to stop: 64 MiB. */
const STEP_CHUNKS = 1024;

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
      why = fingerprints.differs(fingerprint, await fingerprints.now(), 'untouched');
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

  /** What cannot be read is in doubt too: then chunk by chunk. */
  async #compareStep(first: number, count: number, doubts: ChunkSet): Promise<void> {
    const { parts, device, table } = this.#replica;
    try {
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
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      if (count === 1) return void doubts.add(first);
      for (let chunk = first; chunk < first + count; chunk += 1) {
        await this.#compareStep(chunk, 1, doubts);
      }
    }
  }
}
