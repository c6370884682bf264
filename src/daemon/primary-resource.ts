// A resource in the primary role, on the round thread: the opened maps, a driver per target, a
// checkpoint at least once a minute (H9). Its guest side is on the data threads.
import type { Clock } from '../base/clock.js';
import { isoTime } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { hex } from '../base/random.js';
import type { Mutex } from '../base/sync.js';
import type { PointRecord, TargetStatus } from '../control/api.js';
import { stateWord } from '../control/state-word.js';
import { recordOf } from '../round/contact.js';
import type { Primary } from '../round/primary.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { resourceCounters, sumCounter } from './counters.js';
import type { TargetDriver } from './target-driver.js';
import type { ReplicationStatus } from './thread-messages.js';

const CHECKPOINT_MS = 60_000;
const CHECKPOINT_BUSY_MS = 5_000;

export interface PrimaryResourceParts {
  readonly primary: Primary;
  readonly resourceFile: ResourceFile;
  readonly drivers: readonly TargetDriver[];
  /** Held while a round or a verification runs. */
  readonly order: Mutex;
  /** remote of each target, for status. */
  readonly remotes: ReadonlyMap<string, string | null>;
  readonly closeDisk: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

export class PrimaryResource {
  readonly parts: PrimaryResourceParts;
  readonly #stop = new AbortController();
  readonly #checkpoints: Promise<void>;

  constructor(parts: PrimaryResourceParts) {
    this.parts = parts;
    this.#checkpoints = this.#checkpointEveryMinute();
    for (const driver of parts.drivers) {
      driver.startSettling();
      void driver.parts.link.keepUp();
    }
  }

  driver(target: string): TargetDriver | undefined {
    return this.parts.drivers.find((each) => each.parts.round.target === target);
  }

  get guestBytes(): number {
    return sumCounter(this.parts.primary.memory, 'writtenBytes');
  }

  status(): ReplicationStatus {
    const { primary, resourceFile } = this.parts;
    const { state } = resourceFile;
    return {
      sizeBytes: state.sizeBytes,
      extentBytes: state.extentBytes,
      keepdirty: state.keepdirty,
      spillBytes: primary.volume.spillBytes,
      error: primary.volume.suspect ? 'an fdatasync of the local disk failed' : null,
      counters: resourceCounters(primary.memory, primary.volume),
      targets: this.parts.drivers.map((driver) => this.#targetStatus(driver)),
    };
  }

  points(): PointRecord[] {
    const { state } = this.parts.resourceFile;
    return Object.entries(state.targets).flatMap(([target, { point }]) =>
      point === null
        ? []
        : [
            {
              id: hex(point.id),
              number: point.number,
              time: isoTime(point.timeMs),
              parent: null,
              consistency: 'crash' as const,
              sizeBytes: state.sizeBytes,
              changedBytes: 0,
              target,
            },
          ],
    );
  }

  /** The guests are gone. Ends rounds and links, publishes the maps, leaves the clean mark. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.parts.drivers.map((driver) => driver.close()));
    await this.#checkpoints;
    await this.parts.order.run(() => this.parts.primary.closeClean());
    await this.parts.closeDisk();
  }

  async #checkpointEveryMinute(): Promise<void> {
    const { clock, log, primary } = this.parts;
    let waitMs = CHECKPOINT_MS;
    while (!this.#stop.signal.aborted) {
      await clock.sleep(waitMs, this.#stop.signal);
      if (this.#stop.signal.aborted) return;
      try {
        const done = await primary.dirty.checkpoint();
        waitMs = done === 'busy' ? CHECKPOINT_BUSY_MS : CHECKPOINT_MS;
      } catch (error) {
        log.error('checkpoint failed', { why: describeError(error) });
      }
    }
  }

  #targetStatus(driver: TargetDriver): TargetStatus {
    const { resourceFile, clock, remotes, primary } = this.parts;
    const { round, link } = driver.parts;
    const name = round.target;
    const record = recordOf(resourceFile, name);
    const remote = remotes.get(name) ?? null;
    const dirtyBytes = primary.volume.dirtyBytes(round.slot);
    const { point } = record;
    const axes = {
      role: 'primary' as const,
      link: remote === null ? ('none' as const) : link.up ? ('up' as const) : ('down' as const),
      work: driver.running?.phase ?? ('idle' as const),
      data: this.#data(driver, dirtyBytes),
    };
    const lagSeconds =
      point === null ? null : dirtyBytes === 0 ? 0 : (clock.wallMs() - point.timeMs) / 1000;
    return {
      name,
      kind: 'replica',
      remote,
      link: axes.link,
      work: axes.work,
      data: axes.data,
      state: stateWord(axes),
      dirtyBytes,
      lastPoint:
        point === null
          ? null
          : { id: hex(point.id), number: point.number, time: isoTime(point.timeMs) },
      lagSeconds: lagSeconds === null ? null : Math.max(0, Math.round(lagSeconds)),
      nextRun: null,
      skippedFirings: driver.skippedFirings,
      round: progressOf(driver),
      lastError: lastErrorOf(driver),
      verifiedAt: record.verifiedMs === null ? null : isoTime(record.verifiedMs),
    };
  }

  #data(driver: TargetDriver, dirtyBytes: number): TargetStatus['data'] {
    if (driver.parts.link.diverged) return 'diverged';
    if (this.parts.primary.volume.suspect || driver.parts.link.suspect) return 'suspect';
    const { point } = recordOf(this.parts.resourceFile, driver.parts.round.target);
    if (point === null) return 'initialising';
    return dirtyBytes > 0 ? 'dirty' : 'clean';
  }
}

function progressOf(driver: TargetDriver): TargetStatus['round'] {
  const { running } = driver;
  if (running === null) return null;
  const { counts, meter } = running;
  return {
    id: running.id,
    kind: counts.kind,
    doneBytes: counts.doneBytes,
    totalBytes: counts.totalBytes,
    sentBytes: counts.sentBytes,
    wireUpBytes: running.wireUpBytes(),
    bytesPerSecond: Math.round(meter.bytesPerSecond),
    etaSeconds: meter.etaSeconds(counts.totalBytes - counts.doneBytes),
  };
}

/** The newer of a failed round and a failed link. */
function lastErrorOf(driver: TargetDriver): TargetStatus['lastError'] {
  const link = driver.parts.link.error;
  const round = driver.lastError;
  if (round !== null && (link === null || round.atMs >= link.atMs)) {
    return { time: isoTime(round.atMs), code: round.code, text: round.text };
  }
  if (link === null) return null;
  const { error } = link;
  const code = codeOf(error) ?? 'CONTROL_FAILED';
  return { time: isoTime(link.atMs), code, text: describeError(error) };
}
