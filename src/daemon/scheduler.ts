// When rounds run: node-schedule behind a small interface. A firing is a one-shot job at the time
// schedule/firing.ts says, armed again after it has fired, so that cron with a time zone and plain
// intervals are one mechanism. A firing missed while the daemon was down is caught up once.
import schedule from 'node-schedule';
import type { Clock } from '../base/clock.js';
import type { ScheduleSetting } from '../config/settings.js';
import { missedFiring, nextFiring } from '../schedule/firing.js';

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
  let stopped = false;
  let anchorMs = lastRunMs ?? clock.wallMs();
  let nextMs = nextFiring(setting, clock.wallMs(), anchorMs);
  let job: schedule.Job | null = null;
  const due = (): void => {
    if (stopped) return;
    const nominalMs = nextMs;
    anchorMs = nominalMs;
    nextMs = nextFiring(setting, Math.max(clock.wallMs(), nominalMs), anchorMs);
    arm();
    fire(nominalMs);
  };
  const arm = (): void => {
    job = schedule.scheduleJob(new Date(nextMs), due);
    // node-schedule takes no time that has come already.
    if (job === null) void clock.sleep(0).then(due);
  };
  arm();
  if (missedFiring(setting, lastRunMs, clock.wallMs())) {
    void clock.sleep(0).then(() => {
      if (!stopped) fire(clock.wallMs());
    });
  }
  return {
    get nextMs() {
      return nextMs;
    },
    stop: () => {
      stopped = true;
      job?.cancel();
    },
  };
}
