// What `hastctl prune` prints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderPruned } from '../../src/cli/prune-command.js';
import { PRUNED } from '../control/pruned.js';

test('of a secondary: what it drops, what keeps the rest, and what could not go', () => {
  const [one, two, three] = [1, 2, 3].map((number) => ({ number, time: '2026-11-20T02:00:00Z' }));
  assert.ok(one && two && three);
  const kept = [{ ...three, keptBy: ['newest', 'last'] }];
  const stuck = { ...two, keptBy: [] };
  const of = (dryRun: boolean, more: readonly (typeof stuck)[]) =>
    renderPruned('vm1', {
      archives: [],
      replica: { dryRun, removed: [one], kept: [...kept, ...more] },
    }).split('\n');
  const gone = '  vm1@1 2026-11-20T02:00:00Z';
  const table = [
    'Point  Cut                   Kept by',
    'vm1@3  2026-11-20T02:00:00Z  newest, last',
  ];
  assert.deepEqual(of(true, []), ['vm1: would drop 1 point', gone, ...table, '']);
  assert.deepEqual(of(false, []), ['vm1: dropped 1 point', gone, '']);
  const last = 'vm1@2  2026-11-20T02:00:00Z  could not be dropped; see the log';
  assert.deepEqual(of(false, [stuck]), ['vm1: dropped 1 point', gone, ...table, last, '']);
});

test('a dry run says what would go and what keeps the rest', () => {
  assert.equal(
    renderPruned('vm1', PRUNED),
    [
      'vm1 offsite: would remove 1 point and 1 pack, 32.0 MiB',
      "  2 packs, 4.0 KiB that nobody needs stay until their class's minimum of days is over",
      '  vm1@40 2026-11-18T02:00:00Z',
      '  vm1@12 stays: it is pinned',
      'Point   Cut                   Kept by',
      'vm1@42  2026-11-20T02:00:00Z  newest, last',
      'vm1@41  2026-11-19T02:00:00Z  goes with the next round',
      '',
    ].join('\n'),
  );
});
