// What `hastctl prune` prints.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderPruned } from '../../src/cli/prune-command.js';
import { PRUNED } from '../control/pruned.js';

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
