// When rounds run: node-schedule behind a small interface. A firing is a one-shot job at the time
// schedule/firing.ts says, armed again after it has fired, so that cron with a time zone and plain
// intervals are one mechanism. A firing missed while the daemon was down is caught up once.
// node-schedule waits until the wall clock says the time; so a watch beside it arms anew when the
// clock is set: back, and firings go on by the new time of day (one may then come a second time,
// which costs nothing where nothing is dirty); forward, and what was leapt over is caught up.
// Intervals keep their length in either case.
import schedule from 'node-schedule';
import type { Clock } from '../base/clock.js';
import type { ScheduleSetting } from '../config/settings.js';
import { missedFiring, nextFiring } from '../schedule/firing.js';

/** How soon a clock that was set is noticed, and what is less than that: a clock being slewed. */
const WATCH_MS = 5000;
const STEP_MS_MIN = 1000;

export interface Timetable {
  /** Wall time of the next firing. */
  readonly nextMs: number;
  stop(): void;
}

/** Calls `fire` with the nominal time of each firing. `lastRunMs`: the last one that ran. */
export function startTimetable(
  setting: ScheduleSetting,
  lastRunMs: number | null,
  clock: Clock,
  fire: (nominalMs: number) => void,
): Timetable {
  const ended = new AbortController();
  let anchorMs = lastRunMs ?? clock.wallMs();
  let nextMs = nextFiring(setting, clock.wallMs(), anchorMs);
  let job: schedule.Job | null = null;
  const due = (): void => {
    if (ended.signal.aborted) return;
    const nominalMs = nextMs;
    anchorMs = nominalMs;
    // The clock may have been set back in this instant: not the same firing twice.
    nextMs = nextFiring(setting, Math.max(clock.wallMs(), nominalMs), anchorMs);
    arm();
    fire(nominalMs);
  };
  const arm = (): void => {
    job?.cancel();
    job = schedule.scheduleJob(new Date(nextMs), due);
    // node-schedule takes no time that has come already.
    if (job === null) void clock.sleep(0).then(due);
  };
  const clockWasSet = (byMs: number): void => {
    anchorMs += byMs;
    const anewMs = nextFiring(setting, clock.wallMs(), anchorMs);
    nextMs = setting.kind === 'interval' ? anewMs : Math.min(nextMs, anewMs);
    arm();
  };
  arm();
  void watchClock(clock, clockWasSet, ended.signal);
  if (missedFiring(setting, lastRunMs, clock.wallMs())) {
    void clock.sleep(0).then(() => {
      if (!ended.signal.aborted) fire(clock.wallMs());
    });
  }
  return {
    get nextMs() {
      return nextMs;
    },
    stop: () => {
      ended.abort();
      job?.cancel();
    },
  };
}

/** Tells of every step of the wall clock, milliseconds, back is negative. */
async function watchClock(
  clock: Clock,
  wasSet: (byMs: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const ahead = (): number => clock.wallMs() - clock.monotonicMs();
  for (let beforeMs = ahead(); !signal.aborted; ) {
    await clock.sleep(WATCH_MS, signal);
    const byMs = ahead() - beforeMs;
    beforeMs += byMs;
    if (Math.abs(byMs) >= STEP_MS_MIN && !signal.aborted) wasSet(byMs);
  }
}
