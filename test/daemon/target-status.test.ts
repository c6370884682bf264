// One target in `status`: the axes from the facts, the newer of two errors, ages, and what follows
// for the resource: next firings and alarms.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retainLast } from '../../src/config/retain.js';
import type { ResourceSettings } from '../../src/config/settings.js';
import { ControlError } from '../../src/control/api.js';
import { resourceStatus } from '../../src/daemon/resource-status.js';
import { afterRun, outcomeOf } from '../../src/daemon/target-run.js';
import { type LinkFacts, type TargetFacts, targetStatus } from '../../src/daemon/target-status.js';
import { EMPTY_TARGET } from '../../src/format/resource-state.js';
import { RoundError } from '../../src/round/parts.js';
import { TargetError } from '../../src/target/target.js';

const NOW = Date.UTC(2026, 10, 20, 12);
const HOUR_MS = 3_600_000;
const POINT = { id: new Uint8Array(16).fill(7), number: 41, timeMs: NOW - 2 * HOUR_MS };

const UP: LinkFacts = {
  up: true,
  downSinceMs: null,
  suspect: false,
  diverged: false,
  error: null,
};

const facts = (fields: Partial<TargetFacts> = {}): TargetFacts => ({
  name: 'b',
  kind: 'replica',
  remote: 'tcp://b.example.org:8457',
  maxLagSeconds: 26 * 3600,
  rateBitsPerSecond: null,
  record: { ...EMPTY_TARGET, point: POINT },
  dirtyBytes: 4096,
  diskSuspect: false,
  link: UP,
  running: null,
  applying: false,
  skippedFirings: 0,
  lastError: null,
  nowMs: NOW,
  packs: null,
  ...fields,
});

const round = {
  id: '0',
  kind: 'round' as const,
  doneBytes: 0,
  totalBytes: 1,
  sentBytes: 0,
  wireUpBytes: 0,
  bytesPerSecond: 0,
  etaSeconds: null,
  resentBytes: 0,
};

test('packs of an archive are shown where they are verified, with the oldest look', () => {
  assert.equal('packs' in targetStatus(facts()), false);
  const sums = {
    packs: 2,
    bytes: 9,
    in30DaysBytes: 4,
    in90DaysBytes: 5,
    neverBytes: 1,
    damaged: 0,
  };
  const { packs } = targetStatus(facts({ packs: { ...sums, oldestMs: NOW - HOUR_MS } }));
  assert.deepEqual(packs, { ...sums, oldest: '2026-11-20T11:00:00.000Z' });
});

test('of an archive: what it keeps, as far as it is known', () => {
  const archive = { points: 14, lastStoredBytes: 4096 };
  assert.deepEqual(targetStatus(facts({ kind: 'archive', archive })).archive, archive);
  assert.ok(!('archive' in targetStatus(facts({ kind: 'archive' }))));
});

test('a dirty target that is idle lags by the age of its point', () => {
  const status = targetStatus(facts());
  assert.deepEqual([status.link, status.work, status.data], ['up', 'idle', 'dirty']);
  assert.equal(status.lagSeconds, 7200);
  assert.equal(status.lastPoint?.number, 41);
  assert.equal(status.unreachableSince, null);
});

test('a clean target does not lag; one without a point has no lag, and is initialising', () => {
  const clean = targetStatus(facts({ dirtyBytes: 0 }));
  assert.deepEqual([clean.data, clean.lagSeconds], ['clean', 0]);
  const empty = targetStatus(facts({ record: EMPTY_TARGET }));
  assert.deepEqual([empty.data, empty.lagSeconds, empty.lastPoint], ['initialising', null, null]);
});

test('what runs is shown before a pause; a committed point applies until it is there', () => {
  const record = { ...EMPTY_TARGET, point: POINT, paused: true };
  assert.equal(targetStatus(facts({ record })).work, 'paused');
  assert.equal(targetStatus(facts({ record, applying: true })).work, 'applying');
  const running = { work: 'staged' as const, round };
  const busy = targetStatus(facts({ record, applying: true, running }));
  assert.equal(busy.work, 'staged');
  assert.equal(busy.paused, true);
});

test('what is not known to be in the disk is neither clean nor up to date', () => {
  const quiet = { dirtyBytes: 0, applying: true } as const;
  const status = targetStatus(facts(quiet));
  assert.deepEqual([status.state, status.lagSeconds], ['applying', 7200]);
  const away = targetStatus(facts({ ...quiet, link: { ...UP, up: false, downSinceMs: NOW } }));
  assert.deepEqual([away.state, away.lagSeconds], ['unreachable', 7200]);
});

test('divergence outweighs suspicion, and suspicion the rest', () => {
  const link = { ...UP, suspect: true, diverged: true };
  assert.equal(targetStatus(facts({ link })).data, 'diverged');
  assert.equal(targetStatus(facts({ link: { ...link, diverged: false } })).data, 'suspect');
  assert.equal(targetStatus(facts({ diskSuspect: true, dirtyBytes: 0 })).data, 'suspect');
});

test('a link that is down says since when, and the newer of two errors is shown', () => {
  const text = 'gone';
  const lost = new TargetError({ code: 'TARGET_LOST', target: 'b', text });
  const link = {
    ...UP,
    up: false,
    downSinceMs: NOW - 5000,
    error: { atMs: NOW - 4000, error: lost },
  };
  const older = { atMs: NOW - 9000, code: 'ROUND_REFUSED', text: 'no' };
  const status = targetStatus(facts({ link, lastError: older }));
  assert.equal(status.link, 'down');
  assert.equal(status.unreachableSince, new Date(NOW - 5000).toISOString());
  assert.equal(status.lastError?.code, 'TARGET_LOST');
  const newer = targetStatus(facts({ link, lastError: { ...older, atMs: NOW - 100 } }));
  assert.equal(newer.lastError?.code, 'ROUND_REFUSED');
  assert.equal(targetStatus(facts({ remote: null, link })).unreachableSince, null);
});

test('failures in a row are counted until a round is committed; an order to stop is none', () => {
  let record = EMPTY_TARGET;
  for (const outcome of ['failed', 'refused', 'unknown'] as const) {
    record = afterRun(record, { outcome }, false);
  }
  assert.equal(record.failedRounds, 3);
  record = afterRun(record, { outcome: 'failed' }, true);
  assert.equal(record.failedRounds, 3);
  record = afterRun(record, { outcome: 'committed' }, false);
  assert.equal(record.failedRounds, 0);
});

test('a lost answer is unknown, a no is refused, all else has failed', () => {
  const target = 'b';
  const text = '';
  assert.equal(outcomeOf(new TargetError({ code: 'TARGET_LOST', target, text })), 'unknown');
  const no = { target, reason: 'no-space' as const, text };
  assert.equal(outcomeOf(new TargetError({ code: 'TARGET_REFUSED', ...no })), 'refused');
  assert.equal(outcomeOf(new RoundError({ code: 'ROUND_REFUSED', ...no })), 'refused');
  assert.equal(outcomeOf(new RoundError({ code: 'ROUND_STOPPED', target })), 'failed');
  assert.equal(outcomeOf(new ControlError({ code: 'CONTROL_FAILED', text })), 'failed');
});

const SETTINGS: ResourceSettings = {
  name: 'vm1',
  exportName: 'vm1',
  local: '/disks/vm1.img',
  replication: 'periodic',
  compression: { codec: 'zstd', level: 3 },
  timeoutSeconds: 20,
  metaflush: false,
  retain: retainLast(1),
  timezone: null,
  remember: true,
  startAlone: null,
  scrubShare: 0.01,
  spillBytes: 1000,
  secretPath: null,
  insecure: false,
  dataThreads: 2,
  exec: null,
  targets: [],
};

function status(target: Partial<TargetFacts>, cleanAtMs = new Map<string, number>()) {
  return resourceStatus({
    settings: SETTINGS,
    role: 'primary',
    error: null,
    replication: {
      sizeBytes: 1024,
      extentBytes: 2048,
      keepdirty: 64,
      spillBytes: 0,
      error: null,
      counters: null,
      alone: false,
      targets: [targetStatus(facts(target))],
      cleanAtMs,
    },
    nextRuns: new Map([['b', NOW + 1000]]),
    nbdUri: null,
    guests: 0,
    hangsSinceMs: null,
    orderedRole: 'primary',
    sinceMs: NOW - 100 * HOUR_MS,
    nowMs: NOW,
  });
}

test('a target that is well has a next firing and no alarm; a paused one has none of it', () => {
  const well = status({});
  assert.equal(well.targets[0]?.nextRun, new Date(NOW + 1000).toISOString());
  assert.deepEqual(well.alarms, []);
  const paused = status({ record: { ...EMPTY_TARGET, point: POINT, paused: true } });
  assert.equal(paused.targets[0]?.nextRun, null);
  assert.deepEqual(
    paused.alarms.map(({ code }) => code),
    ['paused'],
  );
});

test('a point too old is an alarm, unless the disk was found clean since', () => {
  const record = { ...EMPTY_TARGET, point: { ...POINT, timeMs: NOW - 30 * HOUR_MS } };
  const codes = (given: ReturnType<typeof status>) => given.alarms.map(({ code }) => code);
  assert.deepEqual(codes(status({ record })), ['lag']);
  assert.deepEqual(codes(status({ record }, new Map([['b', NOW - HOUR_MS]]))), []);
});

test('rounds that fail, and a target that is away, are alarms whatever else looks well', () => {
  const record = { ...EMPTY_TARGET, point: POINT, failedRounds: 3 };
  const link = { ...UP, up: false, downSinceMs: NOW - 30 * HOUR_MS };
  const { alarms } = status({ record, link });
  assert.deepEqual(
    new Set(alarms.map(({ code }) => code)),
    new Set(['rounds-failed', 'unreachable']),
  );
  assert.ok(alarms.every(({ level, target }) => level === 'critical' && target === 'b'));
});
