// Golden texts of `hastctl rounds`, `points`, `sync`, `verify` and of the estimate.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  coalesced,
  renderEstimate,
  renderPoints,
  renderRounds,
  renderSync,
  renderVerify,
} from '../../src/cli/render-tables.js';
import { estimate, point, round } from '../control/fake-api.js';
import { lines, NOW } from './render-material.js';

test('rounds: columns, coalescing, errors below', () => {
  const failed = round({
    point: null,
    outcome: 'failed',
    cutTime: null,
    sentBytes: 0,
    error: 'spill full',
  });
  assert.equal(
    renderRounds('vm1', [round(), failed]),
    lines(
      'Round     Target  Point   Outcome    Cut                   Took  Dirty     Read      ' +
        'Skipped  Sent      Up        Down   Coalesced',
      'cdcdcdcd  b       vm1@42  committed  2026-11-20T02:00:00Z  65s   40.0 KiB  64.0 KiB  ' +
        '8.0 KiB  32.0 KiB  11.7 KiB  900 B  3.2x',
      'cdcdcdcd  b       -       failed     -                     65s   40.0 KiB  64.0 KiB  ' +
        '8.0 KiB  0 B       11.7 KiB  900 B  -',
      '  error: spill full',
    ),
  );
  assert.equal(renderRounds('vm1', []), 'vm1: no rounds yet\n');
  assert.equal(coalesced({ guestBytes: 10, sentBytes: 0 }), '-');
});

test('points: columns, and where each can be read', () => {
  const other = { id: 'ab', name: 'good' };
  assert.equal(
    renderPoints(
      'vm1',
      [point({ id: 'ab' }), point({ ...other, number: 43, consistency: 'damaged', target: null })],
      NOW,
    ),
    lines(
      'Point   Cut                   Age    Name  Consistency  Lost  Size      Changed   ' +
        'Target  Id',
      'vm1@42  2026-11-20T02:00:00Z  3h 5m  -     crash        -     10.0 GiB  32.0 KiB  ' +
        'b       ab',
      'vm1@43  2026-11-20T02:00:00Z  3h 5m  good  DAMAGED      -     10.0 GiB  32.0 KiB  ' +
        'here    ab',
      '  DAMAGED: blocks that could not be read at the cut have older content',
    ),
  );
  assert.equal(renderPoints('vm1', [], NOW), 'vm1: no points yet\n');
});

test('sync and verify say what happened and what was compared', () => {
  const outcomes = [
    { target: 'b', outcome: 'applied', point: 43, text: '' },
    { target: 'c', outcome: 'nothing', point: null, text: 'nothing was dirty' },
  ] as const;
  assert.equal(
    renderSync('vm1', { outcomes }),
    lines('vm1 b: applied as vm1@43', 'vm1 c: nothing: nothing was dirty'),
  );
  assert.match(renderSync('vm1', { outcomes: [] }), /no target/);
  const result = { target: 'b', chunks: 100, differing: 1, dirtyChunks: 2, examples: [65_536] };
  assert.equal(
    renderVerify('vm1', { compared: 'disks', results: [{ ...result, text: '' }] }),
    lines(
      'vm1 b: compared disks (read past the page cache): 100 chunks, 1 differ, ' +
        '2 dirty and not comparable now',
      '  differing at byte 65536',
    ),
  );
});

test('rounds: further columns only when they have something to say', () => {
  const text = renderRounds('vm1', [round(), round({ reusedBytes: 4096, driftChunks: 2 })]);
  const [header = '', first = '', second = ''] = text.split('\n');
  assert.match(header, /Coalesced {2}Reused {3}Drift$/);
  assert.match(first, /3\.2x {7}0 B {6}0$/);
  assert.match(second, /3\.2x {7}4\.0 KiB {2}2$/);
  const all = round({ resentBytes: 1, reusedBytes: 1, driftChunks: 1, damagedChunks: 1 });
  assert.match(renderRounds('vm1', [all]), /Resent {2}Reused {2}Drift {2}Damaged\n/);
});

test('estimate: what is not known is not made up, and a spill that could fill is told', () => {
  const known = estimate();
  const unknown = estimate({ target: 'c', seconds: null, bytesPerSecond: null });
  const tight = estimate({ target: 'd', spillBytes: 4_294_967_296, dirtyChunks: 1 });
  assert.equal(
    renderEstimate('vm1', { targets: [known, unknown, tight] }),
    lines(
      'vm1 b: 1.0 MiB dirty in 17 chunks, about 512 KiB on the wire, about 90s at 5.7 KiB/s',
      '  room needed at most: here 1.1 MiB of 4.0 GiB of spill; there 2.0 MiB',
      'vm1 c: 1.0 MiB dirty in 17 chunks, about 512 KiB on the wire, time not known yet',
      '  room needed at most: here 1.1 MiB of 4.0 GiB of spill; there 2.0 MiB',
      'vm1 d: 1.0 MiB dirty in 1 chunk, about 512 KiB on the wire, about 90s at 5.7 KiB/s',
      '  room needed at most: here 4.0 GiB of 4.0 GiB of spill (a busy guest could fill it); ' +
        'there 2.0 MiB',
    ),
  );
  assert.match(renderEstimate('vm1', { targets: [] }), /there is no target/);
});
