// A resource in the primary role, on the round thread: the opened maps, a driver per target, a
// checkpoint at least once a minute (H9). Its guest side is on the data threads.
import { type Clock, isoTime } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { hex } from '../base/random.js';
import { allEnded } from '../base/sync.js';
import type { ResourceSettings } from '../config/settings.js';
import {
  ControlError,
  type EstimateAnswer,
  type PointRecord,
  type SyncRequest,
  type TargetStatus,
} from '../control/api.js';
import type { Primary } from '../round/primary.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { resourceCounters, sumCounter } from './counters.js';
import { estimateTarget } from './estimate.js';
import type { LookLoop } from './look-loop.js';
import type { ReplicationFacts } from './resource-status.js';
import type { RoundLog } from './round-log.js';
import type { ScrubLoop } from './scrub-loop.js';
import type { TargetDriver } from './target-driver.js';
import { targetStatus } from './target-status.js';
import type { SyncOutcome } from './thread-messages.js';

const CHECKPOINT_MS = 60_000;
const CHECKPOINT_BUSY_MS = 5_000;
/** How often a doubt that could not be written down is tried again. */
const DOUBT_MS = 5_000;

export interface PrimaryResourceParts {
  readonly primary: Primary;
  readonly resourceFile: ResourceFile;
  /** By slot. */
  readonly drivers: readonly TargetDriver[];
  readonly rounds: RoundLog;
  readonly scrub: ScrubLoop;
  /** By target, of archives. */
  readonly looks: ReadonlyMap<string, LookLoop>;
  readonly clock: Clock;
  readonly log: Log;
}

export class PrimaryResource {
  readonly parts: PrimaryResourceParts;
  readonly #stop = new AbortController();
  readonly #checkpoints: Promise<void>;
  readonly #scrubbing: Promise<void>;
  readonly #looking: Promise<unknown>;
  #settings: ResourceSettings;

  constructor(parts: PrimaryResourceParts, settings: ResourceSettings) {
    this.parts = parts;
    this.#settings = settings;
    this.#checkpoints = this.#checkpointEveryMinute();
    this.#scrubbing = parts.scrub.run(() => this.#settings.scrubShare, this.#stop.signal);
    for (const driver of parts.drivers) driver.start();
    const looking = [...parts.looks.values()].map((loop) => loop.run(this.#stop.signal));
    this.#looking = Promise.all(looking);
  }

  get settings(): ResourceSettings {
    return this.#settings;
  }

  driver(target: string): TargetDriver | undefined {
    return this.parts.drivers.find((each) => each.name === target);
  }

  get guestBytes(): number {
    return sumCounter(this.parts.primary.memory, 'writtenBytes');
  }

  status(): ReplicationFacts {
    const { primary, resourceFile, drivers } = this.parts;
    const { state } = resourceFile;
    const cleanAtMs = new Map<string, number>();
    for (const { name, cleanAtMs: atMs } of drivers) if (atMs !== null) cleanAtMs.set(name, atMs);
    return {
      sizeBytes: state.sizeBytes,
      extentBytes: state.extentBytes,
      keepdirty: state.keepdirty,
      spillBytes: primary.volume.spillBytes(),
      error: this.#doubt(),
      counters: resourceCounters(primary.memory, primary.volume),
      alone: false,
      targets: drivers.map((driver) => this.#targetStatus(driver)),
      cleanAtMs,
    };
  }

  /** Why the next start compares everything; null: it need not. */
  #doubt(): string | null {
    const { volume, doubt } = this.parts.primary;
    const why = doubt.why ?? (volume.suspect ? 'an fdatasync of the local disk failed' : null);
    return why === null ? null : `${why}; the next start compares everything`;
  }

  /** The last point of every target, also of those that the configuration leaves out now. */
  points(): PointRecord[] {
    const { state } = this.parts.resourceFile;
    return Object.entries(state.targets).flatMap(([target, { point, damagedChunks }]) =>
      point === null
        ? []
        : [
            {
              id: hex(point.id),
              number: point.number,
              time: isoTime(point.timeMs),
              parent: null,
              consistency: damagedChunks > 0 ? ('damaged' as const) : ('crash' as const),
              sizeBytes: state.sizeBytes,
              changedBytes: 0,
              name: null,
              lostChunks: 0,
              damagedChunks,
              target,
            },
          ],
    );
  }

  /** A round of each target that is meant, all at the same time. Error CONTROL_NO_TARGET: none is
   * there. */
  sync(target: string | null, request: SyncRequest): Promise<readonly SyncOutcome[]> {
    return Promise.all(this.#chosen(target).map((driver) => driver.sync(request)));
  }

  /** What a round of each target would cost now. */
  estimate(): EstimateAnswer {
    const { primary, resourceFile, drivers, rounds } = this.parts;
    const { volume } = primary;
    const targets = drivers.map((driver) => {
      const { slot } = driver.parts.round;
      const maps = [volume.core.liveMap(), ...volume.maps(slot)];
      return estimateTarget({
        target: driver.name,
        sizeBytes: resourceFile.state.sizeBytes,
        dirtyBytes: volume.dirtyBytes(slot),
        dirtyChunks: maps.reduce((sum, map) => sum + map.count().chunks, 0),
        filling: driver.record.point === null,
        rounds: rounds.records,
        rateBitsPerSecond: driver.rateBitsPerSecond,
        spillBytesMax: volume.spillBytesMax,
      });
    });
    return { targets };
  }

  /** Sentences for the operator. Error CONTROL_NO_TARGET, as of the next two. */
  async pause(target: string | null, on: boolean): Promise<readonly string[]> {
    const notes: string[] = [];
    for (const driver of this.#chosen(target)) {
      await driver.pause(on);
      const held = 'is held; a round that runs goes on, and "hastctl sync" still makes one';
      notes.push(`${this.#name}: the schedule of ${driver.name} ${on ? held : 'goes on'}`);
    }
    return notes;
  }

  /** Error NOTHING_TO_CANCEL when no target that is meant runs anything. */
  async cancel(target: string | null): Promise<readonly string[]> {
    const cancelled = this.#chosen(target).filter((driver) => driver.cancel());
    if (cancelled.length === 0) {
      throw new ControlError({ code: 'NOTHING_TO_CANCEL', name: this.#name });
    }
    return cancelled.map(({ name }) => `${this.#name}: the round of ${name} is being given up`);
  }

  async setRate(target: string | null, rate: number | null): Promise<readonly string[]> {
    const notes: string[] = [];
    for (const driver of this.#chosen(target)) {
      await driver.setRate(rate);
      const bits = driver.rateBitsPerSecond;
      const limit = bits === null ? 'without a limit' : `at most ${bits} bits a second`;
      const why = rate === null ? ', as the configuration says' : '';
      notes.push(`${this.#name}: to ${driver.name} ${limit}${why}`);
    }
    return notes;
  }

  /** A reload of the configuration: what counts from now on for the targets there are. */
  async applySettings(settings: ResourceSettings): Promise<void> {
    this.#settings = settings;
    for (const driver of this.parts.drivers) {
      const found = settings.targets.find(({ name }) => name === driver.name);
      if (found !== undefined) await driver.apply(found);
    }
  }

  /** The guests are gone. Ends rounds and links, publishes the maps, leaves the clean mark. What
   * fails is thrown when everything has ended: nobody uses the disk from here on. */
  async close(): Promise<void> {
    const { drivers, primary, rounds } = this.parts;
    this.#stop.abort();
    const ending = drivers.map((driver) => driver.close());
    for (const end of ending) end.catch(() => undefined); // thrown below
    await allEnded([
      ...ending.map((end) => () => end),
      () => Promise.all([this.#checkpoints, this.#scrubbing, this.#looking]),
      () => primary.closeClean(),
      () => rounds.close(),
    ]);
  }

  get #name(): string {
    return this.#settings.name;
  }

  #chosen(target: string | null): readonly TargetDriver[] {
    const { drivers } = this.parts;
    const chosen = drivers.filter(({ name }) => target === null || name === target);
    if (chosen.length > 0) return chosen;
    // Nothing replicated is no success (`remote none`).
    const known = drivers.map(({ name }) => name).join(', ') || 'none';
    const wanted = target ?? 'with an address';
    throw new ControlError({ code: 'CONTROL_NO_TARGET', name: this.#name, target: wanted, known });
  }

  async #checkpointEveryMinute(): Promise<void> {
    const { clock, log, primary } = this.parts;
    let dueMs = clock.monotonicMs() + CHECKPOINT_MS;
    while (!this.#stop.signal.aborted) {
      await clock.sleep(Math.min(DOUBT_MS, dueMs - clock.monotonicMs()), this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      await primary.doubt.write();
      if (clock.monotonicMs() < dueMs) continue;
      dueMs = clock.monotonicMs() + CHECKPOINT_MS;
      try {
        const done = await primary.dirty.checkpoint();
        if (done === 'busy') dueMs = clock.monotonicMs() + CHECKPOINT_BUSY_MS;
      } catch (error) {
        log.error('checkpoint failed', { why: describeError(error) });
      }
    }
  }

  #targetStatus(driver: TargetDriver): TargetStatus {
    const { clock, primary } = this.parts;
    const { settings, record, progress, parts } = driver;
    const { link, round } = parts;
    return targetStatus({
      name: driver.name,
      kind: settings.archive === null ? 'replica' : 'archive',
      remote: settings.remote,
      maxLagSeconds: settings.maxLagSeconds,
      rateBitsPerSecond: driver.rateBitsPerSecond,
      record,
      dirtyBytes: primary.volume.dirtyBytes(round.slot),
      diskSuspect: primary.volume.suspect,
      link,
      running: progress === null ? null : { work: progress.work, round: progress.shown() },
      applying: driver.applying,
      archive: link.current?.state.holds,
      skippedFirings: driver.skippedFirings,
      lastError: driver.lastError,
      nowMs: clock.wallMs(),
      packs: this.parts.looks.get(driver.name)?.summary() ?? null,
    });
  }
}
