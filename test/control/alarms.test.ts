// Alarms: each limit of the table in hastctl(8) is held against the function, just below it and at
// it; and the stories in which a replicator that replicates nothing looks well are told to it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AlarmFacts, alarmsOf, worstFirst } from '../../src/control/alarms.js';
import type { Alarm, TargetStatus } from '../../src/control/api.js';
import { DAY, facts, HOUR, iso, NOW } from './alarm-facts.js';
import { counters, target } from './fake-api.js';

const PAGE = readFileSync(join(import.meta.dirname, '../../../man/hastctl.8'), 'utf8');
const MAX_LAG = 26 * HOUR;
const LAST_ERROR = { time: iso(60), code: 'TARGET_LOST', text: 'no answer for 20 s' };

const point = (secondsAgo: number) => ({ id: 'ab'.repeat(16), number: 42, time: iso(secondsAgo) });

/** A target with which nothing is wrong: a fresh point, nothing dirty, the link up. */
const well = (changes: Partial<TargetStatus> = {}): TargetStatus =>
  target({
    data: 'clean',
    state: 'clean',
    dirtyBytes: 0,
    lastPoint: point(60),
    maxLagSeconds: MAX_LAG,
    ...changes,
  });

const levelOf = (made: AlarmFacts, code: Alarm['code']): Alarm['level'] | null =>
  alarmsOf(made, NOW).find((alarm) => alarm.code === code)?.level ?? null;

/** Rows `.It Ic code Ta warning Ta critical` of the page. */
function pageRows(): { code: string; warning: string; critical: string }[] {
  const section = PAGE.slice(PAGE.indexOf('.Sh ALARMS'), PAGE.indexOf('.Sh JSON'));
  const rows = section.matchAll(/^\.It Ic (\S+) Ta (.+) Ta (.+)$/gm);
  return [...rows].map(([, code = '', warning = '', critical = '']) => ({
    code,
    warning,
    critical,
  }));
}

/** How a limit of the page is read, and what just below it is. Null: there is no such level. */
function limits(cell: string, maxLag: number | null): { at: number; below: number } | null {
  if (cell === '-') return null;
  if (cell === 'always') return { at: 1, below: 0 };
  const [, share] = /^(\d+) %$/.exec(cell) ?? [];
  if (share !== undefined) return { at: Number(share), below: Number(share) - 1 };
  const [, lagShare] = /^(\d+) % of max-lag$/.exec(cell) ?? [];
  const whole = cell === 'max-lag' ? '100' : lagShare;
  if (whole !== undefined) {
    const at = (Number(whole) / 100) * (maxLag ?? Number.NaN);
    return { at, below: at - 1 };
  }
  const [, count] = /^(\d+)$/.exec(cell) ?? [];
  if (count !== undefined) return { at: Number(count), below: Number(count) - 1 };
  const [, fallback] = /^max-lag, else (.*)$/.exec(cell) ?? [];
  if (fallback !== undefined && maxLag !== null) return { at: maxLag, below: maxLag - 1 };
  const [, number, unit = ''] = /^(\d+) (minutes|hours)$/.exec(fallback ?? cell) ?? [];
  assert.ok(number, `a limit that can be read: ${cell}`);
  const at = Number(number) * (unit === 'hours' ? HOUR : 60);
  return { at, below: at - 1 };
}

const PACKS = {
  packs: 9,
  bytes: 4096,
  in30DaysBytes: 0,
  in90DaysBytes: 0,
  neverBytes: 0,
  oldest: null,
};

/** For each code: a resource in which the quantity of its row has this value, all else is well. */
const CASES: {
  readonly [C in Alarm['code']]: (value: number, maxLag: number | null) => AlarmFacts;
} = {
  lag: (seconds, maxLag) =>
    facts(well({ dirtyBytes: 4096, lastPoint: point(seconds), maxLagSeconds: maxLag })),
  'no-point': (seconds, maxLag) =>
    facts(well({ lastPoint: seconds > 0 ? null : point(60), maxLagSeconds: maxLag }), {
      sinceMs: NOW - seconds * 1000,
    }),
  'rounds-failed': (failedRounds) => facts(well({ failedRounds })),
  suspect: (yes) => facts(well({ data: yes ? 'suspect' : 'clean' })),
  diverged: (yes) => facts(well({ data: yes ? 'diverged' : 'clean' })),
  unreachable: (seconds, maxLag) =>
    facts(well({ link: 'down', unreachableSince: iso(seconds), maxLagSeconds: maxLag })),
  spill: (percent) => facts(well(), { spillBytes: percent * 10 }),
  paused: (yes) => facts(well({ paused: yes === 1 })),
  damaged: (damagedChunks) => facts(well({ damagedChunks })),
  packs: (damaged) => facts(well({ packs: { ...PACKS, damaged } })),
  'set-back': (yes) => facts(well(yes ? { setBack: { from: 42, to: 40, time: iso(60) } } : {})),
  disk: (writeErrors) => facts(well(), { counters: counters({ writeErrors }) }),
  'no-role': (seconds) =>
    facts(well(), { role: seconds > 0 ? 'init' : 'primary', sinceMs: NOW - seconds * 1000 }),
  'no-target': (yes) => facts(well(), yes ? { targets: [] } : {}),
  untracked: (untrackedChunks) => facts(well({ untrackedChunks })),
};

test('a primary with which nothing is wrong has no alarm', () => {
  assert.deepEqual(alarmsOf(facts(well()), NOW), []);
  assert.deepEqual(alarmsOf(facts(well({ dirtyBytes: 4096, data: 'dirty' })), NOW), []);
});

test('hastctl(8) has a row for every alarm, and none besides', () => {
  assert.deepEqual(
    pageRows().map(({ code }) => code),
    Object.keys(CASES),
  );
});

test('the limits of the table of hastctl(8) are those of the function', () => {
  for (const maxLag of [MAX_LAG, null]) {
    for (const row of pageRows()) {
      if (maxLag === null && row.code === 'lag') continue;
      const code = row.code as Alarm['code'];
      const make = (value: number) => levelOf(CASES[code](value, maxLag), code);
      const [warning, critical] = [row.warning, row.critical].map((cell) => limits(cell, maxLag));
      if (warning) {
        assert.equal(make(warning.below), null, `${code} below its warning`);
        assert.equal(make(warning.at), 'warning', `${code} at its warning`);
      }
      if (critical) {
        assert.equal(make(critical.below), warning ? 'warning' : null, `${code} below critical`);
        assert.equal(make(critical.at), 'critical', `${code} at critical`);
      } else assert.notEqual(make(1e9), 'critical', `${code} is never critical`);
    }
  }
});

test('a pause is critical once the lag is', () => {
  const held = (seconds: number) =>
    facts(well({ paused: true, dirtyBytes: 1, lastPoint: point(seconds) }));
  assert.equal(levelOf(held(MAX_LAG - 1), 'paused'), 'warning');
  assert.equal(levelOf(held(MAX_LAG), 'paused'), 'critical');
});

test('a month without a round is critical though no error was ever counted', () => {
  const month = 30 * DAY;
  const quiet = { failedRounds: 0, lastError: null, lastPoint: point(month), dirtyBytes: 4096 };
  assert.equal(levelOf(facts(well(quiet)), 'lag'), 'critical');
  // A daemon that was started a minute ago knows it too: the point is on disk.
  const young = { sinceMs: NOW - 60_000 };
  assert.equal(levelOf(facts(well(quiet), young), 'lag'), 'critical');
});

test('nothing dirty is no lag, but only at a target that was reached in this role', () => {
  const idle = { dirtyBytes: 0, lastPoint: point(30 * DAY) };
  assert.deepEqual(alarmsOf(facts(well(idle)), NOW), []);
  const sinceMs = NOW - HOUR * 1000;
  const never = { ...idle, link: 'down', unreachableSince: iso(HOUR) } as const;
  assert.equal(levelOf(facts(well(never), { sinceMs }), 'lag'), 'critical');
  const lately = { ...idle, link: 'down', unreachableSince: iso(HOUR / 2) } as const;
  assert.equal(levelOf(facts(well(lately), { sinceMs }), 'lag'), null);
  assert.equal(levelOf(facts(well(lately), { sinceMs }), 'unreachable'), 'warning');
  // The first ten minutes are for the other node to come up.
  const starting = { ...idle, link: 'down', unreachableSince: iso(500) } as const;
  assert.deepEqual(alarmsOf(facts(well(starting), { sinceMs: NOW - 500_000 }), NOW), []);
});

test('a node restarted every day does not hide a target that is never there', () => {
  const idle = { dirtyBytes: 0, lastPoint: point(30 * DAY), link: 'down' } as const;
  for (let day = 0; day < 30; day += 1) {
    const one = well({ ...idle, unreachableSince: iso(12 * HOUR) });
    const made = facts(one, { sinceMs: NOW - 12 * HOUR * 1000 });
    assert.equal(alarmsOf(made, NOW)[0]?.level, 'critical');
  }
});

test('the first write after an idle week is not a week behind', () => {
  const one = well({ dirtyBytes: 4096, lastPoint: point(7 * DAY) });
  assert.equal(levelOf(facts(one), 'lag'), 'critical', 'nobody looked since');
  const cleanAtMs = new Map([['b', NOW - 300_000]]);
  assert.equal(levelOf(facts(one, { cleanAtMs }), 'lag'), null);
  const stale = new Map([['b', NOW - MAX_LAG * 1000]]);
  assert.equal(levelOf(facts(one, { cleanAtMs: stale }), 'lag'), 'critical');
});

test('a point of the future is no fresh point', () => {
  const ahead = well({ dirtyBytes: 4096, lastPoint: point(-HOUR) });
  assert.equal(levelOf(facts(ahead), 'lag'), 'warning');
  assert.equal(levelOf(facts(well({ lastPoint: point(-HOUR) })), 'lag'), 'warning');
  assert.deepEqual(
    alarmsOf(facts(well({ lastPoint: point(-60) })), NOW),
    [],
    'clocks differ a bit',
  );
});

test('a secondary cannot know, so an old point is a warning there and never critical', () => {
  const role = { role: 'secondary', orderedRole: 'secondary' } as const;
  const one = (seconds: number) => facts(well({ lastPoint: point(seconds) }), role);
  assert.equal(levelOf(one(MAX_LAG - 1), 'lag'), null);
  assert.equal(levelOf(one(MAX_LAG), 'lag'), 'warning');
  assert.equal(levelOf(one(100 * DAY), 'lag'), 'warning');
  const lost = well({ link: 'down', unreachableSince: iso(MAX_LAG) });
  assert.equal(levelOf(facts(lost, role), 'unreachable'), 'critical');
});

test('without a role nothing is replicated, whatever was ordered', () => {
  const without = (orderedRole: AlarmFacts['orderedRole'], seconds = 60) =>
    alarmsOf(facts(well(), { role: 'init', orderedRole, sinceMs: NOW - seconds * 1000 }), NOW);
  const texts = [without('primary'), without('init'), without(null)].map((alarms) => alarms[0]);
  assert.deepEqual(
    texts.map((alarm) => alarm?.level),
    ['warning', 'warning', 'warning'],
  );
  assert.match(texts[0]?.text ?? '', /though it was given primary/);
  assert.match(texts[2]?.text ?? '', /never created/);
  assert.equal(without('secondary', DAY)[0]?.level, 'critical');
  assert.equal(without('init', 100 * DAY)[0]?.level, 'warning');
});

test('a state that cannot be read is not one that was never made', () => {
  const error = 'resource.json: resource state of version 0; this program reads version 1';
  const alarms = alarmsOf(facts(well(), { role: 'init', orderedRole: null, error }), NOW);
  assert.deepEqual(
    alarms.map(({ level, code, text }) => [level, code, text]),
    [
      ['critical', 'disk', error],
      ['warning', 'no-role', 'has no role: nothing is replicated'],
    ],
  );
});

test('without a role the axes of targets say nothing', () => {
  const down = well({ link: 'down', unreachableSince: iso(DAY), data: 'suspect' });
  const alarms = alarmsOf(facts(down, { role: 'init' }), NOW);
  assert.deepEqual(
    alarms.map(({ code }) => code),
    ['no-role'],
  );
});

test('a disk that fails, hangs or was repaired', () => {
  const disk = (changes: Partial<AlarmFacts>) =>
    alarmsOf(facts(well(), changes), NOW).map(({ level, text }) => `${level} ${text}`);
  assert.deepEqual(disk({ error: 'an fdatasync of the local disk failed' }), [
    'critical an fdatasync of the local disk failed',
  ]);
  assert.match(disk({ hangsSince: iso(90) })[0] ?? '', /^critical .*answered nothing for 90s/);
  assert.match(disk({ counters: counters({ flushErrors: 1 }) })[0] ?? '', /flush 1/);
  assert.match(disk({ counters: counters({ repairedBlocks: 2 }) })[0] ?? '', /^warning 2 unread/);
  assert.deepEqual(disk({ counters: null }), []);
});

test('a target without an address has no age, and none is asked of it', () => {
  const none = well({ link: 'none', remote: null, lastPoint: null });
  assert.deepEqual(alarmsOf(facts(none, { targets: [none, well({ name: 'c' })] }), NOW), []);
});

test('a primary that replicates to nobody is never well; other roles have no targets', () => {
  const none = well({ link: 'none', remote: null, lastPoint: null });
  for (const targets of [[], [none], [none, { ...none, name: 'c' }]]) {
    const alarms = alarmsOf(facts(well(), { targets }), NOW);
    assert.deepEqual(
      alarms.map(({ level, target: name, code }) => `${level} ${name} ${code}`),
      ['warning null no-target'],
    );
  }
  assert.equal(levelOf(facts(well(), { targets: [], role: 'secondary' }), 'no-target'), null);
  assert.equal(levelOf(facts(well(), { targets: [], role: 'init' }), 'no-target'), null);
});

test('alarms carry the figures and the reason, worst first', () => {
  const one = well({
    link: 'down',
    unreachableSince: iso(2 * HOUR),
    failedRounds: 3,
    lastError: LAST_ERROR,
    untrackedChunks: 1,
    lastPoint: point(27 * HOUR),
    dirtyBytes: 4096,
  });
  const alarms = alarmsOf(facts(one, { spillBytes: 900 }), NOW);
  assert.deepEqual(
    alarms.map(({ level, target: name, code, text }) => `${level} ${name} ${code}: ${text}`),
    [
      'critical b lag: 27h 0m behind, max-lag is 26h 0m',
      'critical b rounds-failed: 3 rounds in a row failed: TARGET_LOST: no answer for 20 s',
      'warning null spill: the spill holds 900 B of 1000 B; when it is full the round fails',
      'warning b unreachable: no connection for 2h 0m: TARGET_LOST: no answer for 20 s',
      'warning b untracked: 1 chunks had changed here without a mark',
    ],
  );
  assert.deepEqual(worstFirst(alarms), alarms);
});
