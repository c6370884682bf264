// What an operator should look at, derived from what is known of a resource. Pure. hastctl(8) has
// the table, and a test holds the limits of the page against this function.
// The rule above all: nothing may look well that nobody has confirmed. A replicator that has
// replicated nothing for a month and counts no error is what users of the peers report; so age is
// measured from the last point, not from errors, and what was never reached is not taken for clean.
// Ages are seconds, times wall milliseconds. Only this folder's types; the daemon fills the facts.
import { humanBytes, humanSeconds } from '../base/units.js';
import type { Alarm, ResourceStatus, Role, TargetStatus } from './api.js';

/** Share of max-lag, of the spill. */
const LAG_SHARE = 0.8;
const SPILL_SHARE = 0.8;
const UNREACHABLE_SECONDS = 600;
/** In place of max-lag where there is none. */
const PATIENCE_SECONDS = 86_400;
const ROUNDS_FAILED_MAX = 3;
/** Clocks of two nodes may differ by so much before an age means nothing. */
const CLOCK_AHEAD_SECONDS = 300;
/** Where a point stands is asked at the first contact: of a role so young nothing follows. */
const YOUNG_SECONDS = 600;
/** A link that is down since the first minute of the role has never been up. */
const FIRST_CONTACT_SECONDS = 60;

export interface AlarmFacts
  extends Pick<
    ResourceStatus,
    'role' | 'error' | 'hangsSince' | 'spillBytes' | 'spillBytesMax' | 'counters' | 'targets'
  > {
  /** The role that an operator gave last (`remembered` of the state); null: no state. */
  readonly orderedRole: Role | null;
  /** Wall time at which the present role was taken, or the resource was created; null: unknown. */
  readonly sinceMs: number | null;
  /** By target: when a firing last found nothing dirty, with the link up. A disk that was idle for
   * a week is then not a week behind at its first write. Absent: not since the role was taken. */
  readonly cleanAtMs?: ReadonlyMap<string, number>;
}

/** The alarms of one resource, worst first. */
export function alarmsOf(facts: AlarmFacts, nowMs: number): Alarm[] {
  const own = resourceAlarms(facts, nowMs);
  const targets = facts.role === 'init' ? [] : facts.targets;
  return worstFirst([...own, ...targets.flatMap((target) => targetAlarms(facts, target, nowMs))]);
}

/** Critical before warning, else as they came. */
export const worstFirst = <T extends Pick<Alarm, 'level'>>(alarms: readonly T[]): T[] => [
  ...alarms.filter(({ level }) => level === 'critical'),
  ...alarms.filter(({ level }) => level !== 'critical'),
];

/** Age at which lag becomes a warning. */
export const lagWarningSeconds = (maxLagSeconds: number): number => LAG_SHARE * maxLagSeconds;

type Made = Pick<Alarm, 'level' | 'code' | 'text'> | null;

function resourceAlarms(facts: AlarmFacts, nowMs: number): Alarm[] {
  const { spillBytes, spillBytesMax } = facts;
  const full = spillBytesMax > 0 && spillBytes >= SPILL_SHARE * spillBytesMax;
  const spill = `the spill holds ${humanBytes(spillBytes)} of ${humanBytes(spillBytesMax)}`;
  return collect(null, [
    facts.error === null ? null : critical(waits(facts) ? 'no-role' : 'disk', facts.error),
    facts.hangsSince === null
      ? null
      : critical(
          'disk',
          `the local disk has answered nothing for ${agoText(facts.hangsSince, nowMs)}`,
        ),
    errorCounts(facts),
    facts.error !== null && waits(facts) ? null : noRole(facts, nowMs),
    noTarget(facts),
    full ? warning('spill', `${spill}; when it is full the round fails`) : null,
  ]);
}

function errorCounts({ counters }: AlarmFacts): Made {
  if (counters === null) return null;
  const { readErrors, writeErrors, deleteErrors, flushErrors, repairedBlocks } = counters;
  if (readErrors + writeErrors + deleteErrors + flushErrors > 0) {
    const counts = `read ${readErrors}, write ${writeErrors}, delete ${deleteErrors}`;
    return critical('disk', `errors of the local disk: ${counts}, flush ${flushErrors}`);
  }
  if (repairedBlocks === 0) return null;
  const blocks = `${repairedBlocks} unreadable blocks of the local disk`;
  return warning('disk', `${blocks} were got back from a target`);
}

/** Has been given a role that it does not have: its error says why. */
const waits = ({ role, orderedRole }: AlarmFacts): boolean =>
  role === 'init' && orderedRole !== null && orderedRole !== 'init';

/** Nothing is served, sent or received; whatever was ordered, that is no state to call good. */
function noRole({ role, error, orderedRole, sinceMs }: AlarmFacts, nowMs: number): Made {
  if (role !== 'init') return null;
  // With an error there is a state, and nobody can read it: the error says so.
  const isAbsent = orderedRole === null && error === null;
  if (isAbsent) return warning('no-role', 'was never created: nothing is replicated');
  if (orderedRole === null || orderedRole === 'init')
    return warning('no-role', 'has no role: nothing is replicated');
  const text = `has no role, though it was given ${orderedRole}: nothing is replicated`;
  const seconds = sinceMs === null ? 0 : (nowMs - sinceMs) / 1000;
  return made(seconds >= PATIENCE_SECONDS, 'no-role', text);
}

/** `remote none` may be wanted for a while; it is never a state to call good. */
function noTarget({ role, targets }: AlarmFacts): Made {
  if (role !== 'primary' || targets.some(({ link }) => link !== 'none')) return null;
  return warning('no-target', 'has no target with an address: nothing is replicated');
}

function targetAlarms(facts: AlarmFacts, target: TargetStatus, nowMs: number): Alarm[] {
  const lag = lagAlarm(facts, target, nowMs) ?? notApplied(facts, target, nowMs);
  const behind = lag?.level === 'critical';
  const { damagedChunks, untrackedChunks } = target;
  return collect(target.name, [
    target.data === 'diverged' ? critical('diverged', `no data moves${because(target)}`) : null,
    target.data === 'suspect'
      ? critical('suspect', `its content is in doubt${because(target)}`)
      : null,
    noPoint(facts, target, nowMs),
    lag,
    unreachable(facts, target, nowMs),
    roundsFailed(target),
    damagedChunks > 0
      ? critical('damaged', `${damagedChunks} chunks of the last point could not be read here`)
      : null,
    packsDamaged(target),
    setBack(target, nowMs),
    target.paused
      ? made(behind, 'paused', 'the schedule is held until it is told to resume')
      : null,
    untrackedChunks > 0
      ? warning('untracked', `${untrackedChunks} chunks had changed here without a mark`)
      : null,
  ]);
}

/** Age that counts against max-lag, seconds; null: none does. A secondary cannot know whether its
 * primary has written: there the age of the point counts, and is never worse than a warning. */
function lagOf(facts: AlarmFacts, target: TargetStatus, nowMs: number): number | null {
  if (target.lastPoint === null || target.link === 'none') return null;
  const pointMs = Date.parse(target.lastPoint.time);
  const pointSeconds = (nowMs - pointMs) / 1000;
  if (facts.role === 'secondary') return pointSeconds;
  if (pointSeconds < -CLOCK_AHEAD_SECONDS) return pointSeconds;
  if (target.dirtyBytes > 0) {
    const cleanMs = facts.cleanAtMs?.get(target.name) ?? pointMs;
    return (nowMs - Math.max(pointMs, cleanMs)) / 1000;
  }
  // Nothing is dirty here; only a target that was reached since can be known to stand there too.
  const downSeconds = secondsDown(facts, target, nowMs);
  if (downSeconds === null || downSeconds < UNREACHABLE_SECONDS) return 0;
  return everReached(facts, target) ? 0 : pointSeconds;
}

function lagAlarm(facts: AlarmFacts, target: TargetStatus, nowMs: number): Made {
  const { maxLagSeconds } = target;
  const lag = lagOf(facts, target, nowMs);
  if (maxLagSeconds === null || lag === null) return null;
  if (lag < -CLOCK_AHEAD_SECONDS) {
    const ahead = humanSeconds(-lag);
    return warning('lag', `the last point lies ${ahead} in the future: is the clock right?`);
  }
  if (lag < lagWarningSeconds(maxLagSeconds)) return null;
  const text = `${humanSeconds(lag)} behind, max-lag is ${humanSeconds(maxLagSeconds)}`;
  if (facts.role === 'primary') return made(lag >= maxLagSeconds, 'lag', text);
  return lag < maxLagSeconds ? null : warning('lag', `no newer point came: ${text}`);
}

/** A committed point that does not get into the disk of a target that is there: without dirt there
 * would be no lag. An apply of some minutes is no news; one as long as a lag may be is, also where
 * no max-lag is set. Of a target that is away `unreachable` tells. */
function notApplied(facts: AlarmFacts, target: TargetStatus, nowMs: number): Made {
  const { work, link, lastPoint } = target;
  if (facts.role !== 'primary' || work !== 'applying' || link !== 'up') return null;
  if (lastPoint === null) return null;
  if (facts.sinceMs !== null && nowMs - facts.sinceMs < YOUNG_SECONDS * 1000) return null;
  const seconds = (nowMs - Date.parse(lastPoint.time)) / 1000;
  const limit = patience(target);
  if (seconds < lagWarningSeconds(limit)) return null;
  const text = `the last point, ${humanSeconds(seconds)} old, is not known to be in its disk`;
  return made(seconds >= limit, 'lag', `${text}${because(target)}`);
}

function noPoint(facts: AlarmFacts, target: TargetStatus, nowMs: number): Made {
  if (target.lastPoint !== null || target.link === 'none') return null;
  const seconds = facts.sinceMs === null ? 0 : (nowMs - facts.sinceMs) / 1000;
  const since = seconds > 0 ? ` after ${humanSeconds(seconds)}` : '';
  return made(seconds >= patience(target), 'no-point', `there is no whole copy yet${since}`);
}

function unreachable(facts: AlarmFacts, target: TargetStatus, nowMs: number): Made {
  const seconds = secondsDown(facts, target, nowMs);
  if (seconds === null || seconds < UNREACHABLE_SECONDS) return null;
  const text = `no connection for ${humanSeconds(seconds)}${because(target)}`;
  return made(seconds >= patience(target), 'unreachable', text);
}

function roundsFailed(target: TargetStatus): Made {
  const { failedRounds } = target;
  if (failedRounds === 0) return null;
  const rounds = failedRounds === 1 ? 'a round' : `${failedRounds} rounds in a row`;
  const text = `${rounds} failed${because(target)}`;
  return made(failedRounds >= ROUNDS_FAILED_MAX, 'rounds-failed', text);
}

/** Older points may be without it, and the next round mends the newest: but somebody must know. */
function packsDamaged({ packs }: TargetStatus): Made {
  const damaged = packs?.damaged ?? 0;
  if (damaged === 0) return null;
  const what = damaged === 1 ? 'a pack of the archive is' : `${damaged} packs of the archive are`;
  return critical(
    'packs',
    `${what} damaged or missing; hastctl verify of it tells what needs them`,
  );
}

/** Rounds go on from where it stands: nothing else would tell that points are gone. */
function setBack({ setBack: found }: TargetStatus, nowMs: number): Made {
  if (found === undefined) return null;
  const { from, to, time } = found;
  const ago = agoText(time, nowMs);
  const text =
    `the archive was found at point ${to} where ${from} had been, ${ago} ago: newer points are ` +
    'gone from its store; hastctl verify looks at what is there';
  return critical('set-back', text);
}

const patience = (target: TargetStatus): number => target.maxLagSeconds ?? PATIENCE_SECONDS;

/** Seconds without a connection; null: there is one, or none is wanted. */
function secondsDown(facts: AlarmFacts, target: TargetStatus, nowMs: number): number | null {
  if (target.link !== 'down') return null;
  const sinceMs = downSinceMs(facts, target);
  return sinceMs === null ? null : Math.max(0, (nowMs - sinceMs) / 1000);
}

const downSinceMs = (facts: AlarmFacts, target: TargetStatus): number | null =>
  target.unreachableSince === null ? facts.sinceMs : Date.parse(target.unreachableSince);

/** The link was up at some time since the role was taken, as far as can be told. */
function everReached(facts: AlarmFacts, target: TargetStatus): boolean {
  const downMs = downSinceMs(facts, target);
  if (target.link === 'up') return true;
  if (downMs === null || facts.sinceMs === null) return false;
  return downMs > facts.sinceMs + FIRST_CONTACT_SECONDS * 1000;
}

function because({ lastError }: TargetStatus): string {
  return lastError === null ? '' : `: ${lastError.code}: ${lastError.text}`;
}

const agoText = (iso: string, nowMs: number): string =>
  `${humanSeconds((nowMs - Date.parse(iso)) / 1000)}`;

const warning = (code: Alarm['code'], text: string): Made => ({ level: 'warning', code, text });
const critical = (code: Alarm['code'], text: string): Made => ({ level: 'critical', code, text });
const made = (isCritical: boolean, code: Alarm['code'], text: string): Made =>
  isCritical ? critical(code, text) : warning(code, text);

const collect = (target: string | null, alarms: readonly Made[]): Alarm[] =>
  alarms.flatMap((alarm) => (alarm === null ? [] : [{ ...alarm, target }]));
