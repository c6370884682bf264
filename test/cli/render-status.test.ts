// Golden texts of `hastctl status`.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderStatus } from '../../src/cli/render-status.js';
import { progressBar } from '../../src/cli/text.js';
import { progress, resource, target } from '../control/fake-api.js';
import { answer, lines, NOW } from './render-material.js';

test('status: one line per resource, the rest indented below it', () => {
  const running = target({
    name: 'c',
    remote: 'tcp://c:8457',
    work: 'sending',
    state: 'sending',
    lastPoint: null,
    nextRun: null,
    skippedFirings: 2,
    round: progress({
      doneBytes: 400,
      totalBytes: 1024,
      sentBytes: 300,
      bytesPerSecond: 3_250_586,
      etaSeconds: 240,
    }),
    lastError: {
      time: '2026-11-20T04:59:58.123Z',
      code: 'TARGET_LOST',
      text: 'no answer for 20 s',
    },
  });
  const text = renderStatus(
    answer(
      resource({ targets: [target(), running] }),
      resource({ name: 'database', role: 'init', state: 'init', local: '/dev/vg/db' }),
    ),
    NOW,
  );
  assert.equal(
    text,
    lines(
      'Name      Status  Role     Components',
      'vm1       dirty   primary  /srv/h/a.img tcp://127.0.0.1:18458 tcp://c:8457',
      '  b: dirty; last point vm1@42, 3h 5m old; 1.2 GiB dirty; next run in 12m; never verified',
      '  c: sending; no point yet; 1.2 GiB dirty; 2 firings skipped; never verified',
      '  c: round: 39 % of 1.0 KiB, 3.1 MiB/s, 4m left',
      '  c: last error 2026-11-20T04:59:58Z TARGET_LOST: no answer for 20 s',
      'database  init    init     /dev/vg/db tcp://127.0.0.1:18458',
    ),
  );
});

test('status: an archive says what it keeps', () => {
  const archive = { points: 14, lastStoredBytes: 100_663_296 };
  const text = renderStatus(answer(resource({ targets: [target({ archive })] })), NOW);
  assert.match(
    text,
    /; last point vm1@42, 3h 5m old; 14 points kept, the last one stored 96.0 MiB;/,
  );
});

test('status: clean never stands without when it was last verified', () => {
  const clean = target({
    data: 'clean',
    state: 'clean',
    dirtyBytes: 0,
    lagSeconds: 0,
    nextRun: '2026-11-20T05:04:00.000Z',
    verifiedAt: '2026-11-18T05:05:00.000Z',
  });
  assert.equal(
    renderStatus(answer(resource({ state: 'clean', targets: [clean] })), NOW),
    lines(
      'Name  Status  Role     Components',
      'vm1   clean   primary  /srv/h/a.img tcp://127.0.0.1:18458',
      '  b: clean; last point vm1@42, 3h 5m old; next run is due; verified 2d 0h ago',
    ),
  );
});

test('status: a resource with an error of its own, and one that is not replicated', () => {
  const text = renderStatus(
    answer(resource({ state: 'failed', error: 'fdatasync of the disk failed: EIO', targets: [] })),
    NOW,
  );
  assert.equal(
    text,
    lines(
      'Name  Status  Role     Components',
      'vm1   failed  primary  /srv/h/a.img none',
      '  error: fdatasync of the disk failed: EIO',
    ),
  );
  assert.equal(renderStatus(answer(), NOW), 'Name  Status  Role  Components\n');
});

test('status: alarms stand first, the worst of all resources at the top', () => {
  const alarm = (level: 'warning' | 'critical', name: string | null, text: string) =>
    ({ level, target: name, code: 'lag', text }) as const;
  const text = renderStatus(
    answer(
      resource({ alarms: [alarm('warning', 'b', 'a bit late')] }),
      resource({
        name: 'vm2',
        alarms: [alarm('critical', 'b', 'late'), alarm('warning', null, 'x')],
      }),
    ),
    NOW,
  );
  assert.deepEqual(text.split('\n').slice(0, 4), [
    '  CRITICAL vm2 b lag: late',
    '  WARNING vm1 b lag: a bit late',
    '  WARNING vm2 lag: x',
    'Name  Status  Role     Components',
  ]);
  const rows = text.split('\n').filter((line) => /^\S/.test(line));
  assert.deepEqual(
    rows.map((row) => row.split(/\s+/)[0]),
    ['Name', 'vm1', 'vm2'],
  );
});

test('status: what is out of the ordinary is said, and nothing of it otherwise', () => {
  const one = target({
    state: 'unreachable',
    paused: true,
    rateBitsPerSecond: 20_000_000,
    failedRounds: 2,
    driftChunks: 1,
    untrackedChunks: 3,
    damagedChunks: 4,
  });
  const odd = resource({
    guests: 2,
    alone: true,
    hangsSince: '2026-11-20T05:03:00.000Z',
    targets: [one],
  });
  assert.deepEqual(renderStatus(answer(odd), NOW).split('\n').slice(2), [
    '  the disk has answered nothing for 2m',
    '  2 NBD clients; primary alone: the peer was not reached',
    '  b: unreachable; paused; last point vm1@42, 3h 5m old; 1.2 GiB dirty; at most 20 Mbit/s; ' +
      '2 rounds failed since; 1 chunk had drifted there; 3 chunks changed untracked; ' +
      '4 chunks damaged; never verified',
    '',
  ]);
  const held = target({ state: 'paused', work: 'paused', paused: true });
  assert.match(renderStatus(answer(resource({ targets: [held] })), NOW), / b: paused; last/);
});

test('status: a bar where there is room for one', () => {
  const round = progress({ doneBytes: 45, resentBytes: 1024 });
  const running = resource({ targets: [target({ round })] });
  assert.match(
    renderStatus(answer(running), NOW, { barWidth: 10 }),
    /\n {2}b: \[####------\] round: 45 % of 100 B, 10 B\/s, 5s left, 1\.0 KiB sent again\n/,
  );
  assert.equal(progressBar(progress({ doneBytes: 200 }), 4), '[####]');
  assert.equal(progressBar(progress({ totalBytes: 0 }), 4), '[----]');
});

test('status: how much of an archive was looked at lately, and what was found', () => {
  const gib = 2 ** 30;
  const packs = {
    packs: 400,
    bytes: 10 * gib,
    in30DaysBytes: 6.5 * gib,
    in90DaysBytes: 9 * gib,
    neverBytes: gib,
    oldest: '2026-09-20T05:05:00.000Z',
    damaged: 1,
  };
  const line = (of: typeof packs) =>
    renderStatus(answer(resource({ targets: [target({ packs: of })] })), NOW).split('\n')[3];
  assert.equal(
    line(packs),
    '  b: 65 % of 10.0 GiB looked at within 30 days; the oldest look 61d 0h ago; ' +
      'never 1.0 GiB; 1 pack damaged',
  );
});
