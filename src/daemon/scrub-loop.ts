// The background pass over clean chunks of a primary (H11), for as long as its role lasts: a little
// every second, nothing while a round or a settle pass runs. Where it is, and what it found, is
// kept in the records of the targets; after a crash a few minutes of it are done again. A mark that
// it makes is published with the next checkpoint; lost before that, the next pass makes it again.
import type { Clock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { CHUNK_BYTES, chunkCount } from '../base/units.js';
import { type ScrubParts, type ScrubStep, scrubDue, scrubStep } from '../care/scrub.js';
import type { Compute } from '../format/compute.js';
import type { TargetRecord } from '../format/resource-state.js';
import { sameId } from '../lineage/lineage.js';
import type { RoundParts } from '../round/parts.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { Volume } from '../volume/volume.js';

const TICK_MS = 1000;
/** The position is written down so often; a finding within the shorter time. */
const KEEP_MS = 5 * 60_000;
const KEEP_FOUND_MS = 10_000;

/** A target as far as the pass is concerned. */
export interface ScrubbedTarget {
  readonly name: string;
  readonly record: TargetRecord;
  /** Something that reads this disk or moves marks runs for it. */
  readonly busy: boolean;
  readonly round: Pick<RoundParts, 'slot' | 'table'>;
}

export interface ScrubLoopParts {
  readonly volume: Volume;
  readonly compute: Pick<Compute, 'digests'>;
  readonly resourceFile: ResourceFile;
  /** By slot. */
  readonly targets: readonly ScrubbedTarget[];
  readonly clock: Clock;
  readonly log: Log;
}

export class ScrubLoop {
  readonly #parts: ScrubLoopParts;
  readonly #scrub: ScrubParts;
  /** Next chunk. */
  #position: number;
  /** Differences by slot that no record has yet. */
  readonly #found: number[];
  #owed = 0;
  #keptMs: number;
  #keptPosition: number;

  constructor(parts: ScrubLoopParts) {
    this.#parts = parts;
    const { volume, compute, targets, log, clock } = parts;
    this.#scrub = {
      volume,
      compute,
      targets: targets.map((target) => ({
        target: target.name,
        slot: target.round.slot,
        table: target.round.table,
        trusted: () => isTrusted(target),
      })),
      log,
    };
    this.#found = targets.map(() => 0);
    this.#position = Math.min(...targets.map(({ record }) => record.scrubChunk), Infinity);
    if (this.#position >= this.#chunks) this.#position = 0;
    this.#keptPosition = this.#position;
    this.#keptMs = clock.monotonicMs();
  }

  /** Until `signal` is aborted. `shareOf`: of the disk a day, 0..1, asked every second. */
  async run(shareOf: () => number, signal: AbortSignal): Promise<void> {
    const { clock, log, targets } = this.#parts;
    if (targets.length === 0) return;
    let lastMs = clock.monotonicMs();
    while (!signal.aborted) {
      await clock.sleep(TICK_MS, signal);
      const nowMs = clock.monotonicMs();
      const elapsedMs = nowMs - lastMs;
      lastMs = nowMs;
      if (signal.aborted || targets.some(({ busy }) => busy)) continue;
      try {
        await this.#tick(shareOf(), elapsedMs, signal);
        await this.#keep(false);
      } catch (error) {
        log.error('the background pass failed', { why: describeError(error) });
        await clock.sleep(KEEP_MS, signal);
      }
    }
    await this.#keep(true).catch((error: unknown) => {
      log.warn('the position of the background pass is lost', { why: describeError(error) });
    });
  }

  get #chunks(): number {
    return chunkCount(this.#parts.volume.device.sizeBytes);
  }

  async #tick(share: number, elapsedMs: number, signal: AbortSignal): Promise<void> {
    const { volume, log } = this.#parts;
    const due = scrubDue(share, volume.device.sizeBytes, elapsedMs, this.#owed);
    this.#owed = due.owed;
    if (due.chunks === 0) return;
    const step = await scrubStep(this.#scrub, this.#position, due.chunks, signal);
    this.#note(step);
    this.#position = step.next;
    if (this.#position < this.#chunks) return;
    this.#position = 0;
    log.info('the background pass has looked at every clean chunk');
  }

  #note({ untracked, unreadable }: ScrubStep): void {
    for (const { slot } of untracked) this.#found[slot] = (this.#found[slot] ?? 0) + 1;
    for (const { chunk, error } of unreadable) {
      const fields = { offset: chunk * CHUNK_BYTES, why: describeError(error) };
      this.#parts.log.error('the background pass cannot read a chunk of the local disk', fields);
    }
  }

  /** Writes down position and findings, when it is time or `now`. */
  async #keep(now: boolean): Promise<void> {
    const { clock, resourceFile, targets } = this.#parts;
    const found = [...this.#found];
    const position = this.#position;
    const news = found.some((count) => count > 0);
    if (!news && position === this.#keptPosition) return;
    const waitMs = news ? KEEP_FOUND_MS : KEEP_MS;
    if (!now && clock.monotonicMs() - this.#keptMs < waitMs) return;
    await resourceFile.update((state) => {
      const records = { ...state.targets };
      for (const [slot, { name }] of targets.entries()) {
        const record = records[name];
        if (record === undefined) continue;
        const untrackedChunks = record.untrackedChunks + (found[slot] ?? 0);
        records[name] = { ...record, scrubChunk: position, untrackedChunks };
      }
      return { ...state, targets: records };
    });
    found.forEach((count, slot) => {
      this.#found[slot] = (this.#found[slot] ?? 0) - count;
    });
    this.#keptMs = clock.monotonicMs();
    this.#keptPosition = position;
  }
}

/** The table is true for the point that the target is known to stand at. */
function isTrusted({ record, round }: ScrubbedTarget): boolean {
  const { point } = round.table;
  return record.proposed === null && point !== null && sameId(point.id, record.point?.id ?? null);
}
