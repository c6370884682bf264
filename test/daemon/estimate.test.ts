// What `sync --dry-run` says, over made-up histories: the ratio and the rate of the last committed
// rounds, limits, a first copy, and that nothing is claimed where nothing is known.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RoundRecord } from '../../src/control/api.js';
import {
  achievedBy,
  type EstimateFacts,
  estimateTarget,
  ROUNDS_LOOKED_AT,
} from '../../src/daemon/estimate.js';

const MIB = 1024 * 1024;

const record = (fields: Partial<RoundRecord>): RoundRecord => ({
  id: '0'.repeat(32),
  target: 'b',
  point: 1,
  outcome: 'committed',
  cutTime: '2026-11-20T02:00:00.000Z',
  seconds: 10,
  dirtyBytes: 100 * MIB,
  readBytes: 100 * MIB,
  skippedBytes: 0,
  sentBytes: 100 * MIB,
  wireUpBytes: 25 * MIB,
  wireDownBytes: 1000,
  guestBytes: 0,
  resentBytes: 0,
  reusedBytes: 0,
  driftChunks: 0,
  damagedChunks: 0,
  error: null,
  ...fields,
});

const facts = (fields: Partial<EstimateFacts>): EstimateFacts => ({
  target: 'b',
  sizeBytes: 1024 * MIB,
  dirtyBytes: 40 * MIB,
  dirtyChunks: 1000,
  filling: false,
  rounds: [],
  rateBitsPerSecond: null,
  spillBytesMax: 1024 * MIB,
  ...fields,
});

test('bytes and seconds follow the ratio and the rate of the rounds before', () => {
  const estimate = estimateTarget(facts({ rounds: [record({}), record({ seconds: 15 })] }));
  assert.equal(estimate.wireBytes, 10 * MIB + 4096);
  assert.equal(estimate.bytesPerSecond, 2 * MIB, '50 MiB in 25 s');
  assert.equal(estimate.seconds, 6, '10 MiB and a little at 2 MiB/s, rounded up');
});

test('a limit below what was achieved is what counts; one above it changes nothing', () => {
  const rounds = [record({})];
  const slow = estimateTarget(facts({ rounds, rateBitsPerSecond: 8 * MIB }));
  assert.equal(slow.bytesPerSecond, MIB);
  assert.equal(slow.seconds, 11);
  const fast = estimateTarget(facts({ rounds, rateBitsPerSecond: 800 * MIB }));
  assert.equal(fast.bytesPerSecond, 2.5 * MIB);
});

test('without a round nothing is known of the link, and bytes are an upper bound', () => {
  const estimate = estimateTarget(facts({}));
  assert.equal(estimate.seconds, null);
  assert.equal(estimate.bytesPerSecond, null);
  assert.ok(estimate.wireBytes >= 40 * MIB && estimate.wireBytes < 41 * MIB);
  assert.equal(estimateTarget(facts({ rateBitsPerSecond: 8 * MIB })).bytesPerSecond, MIB);
});

test('rounds of another target, failed ones and idle ones teach nothing', () => {
  const rounds = [
    record({ target: 'c' }),
    record({ outcome: 'failed', point: null }),
    record({ outcome: 'unknown', point: null }),
    record({ sentBytes: 0, wireUpBytes: 100 }),
  ];
  assert.equal(achievedBy(rounds, 'b'), null);
});

test('only the last few rounds count', () => {
  const old = Array.from({ length: 10 }, () => record({ wireUpBytes: 100 * MIB }));
  const last = Array.from({ length: ROUNDS_LOOKED_AT }, () => record({ wireUpBytes: 50 * MIB }));
  assert.equal(achievedBy([...old, ...last], 'b')?.ratio, 0.5);
});

test('a round of one block does not make the link look slow', () => {
  const small = record({ sentBytes: 4096, wireUpBytes: 4200, seconds: 2 });
  const achieved = achievedBy([small, record({}), small, small], 'b');
  assert.equal(achieved?.bytesPerSecond, 2.5 * MIB);
});

test('a first copy, most of which was holes, is no promise for what comes', () => {
  const fill = record({ dirtyBytes: 1000 * MIB, skippedBytes: 900 * MIB, wireUpBytes: 90 * MIB });
  assert.equal(achievedBy([fill], 'b')?.ratio, 0.9);
});

test('a clean target costs nothing', () => {
  const estimate = estimateTarget(facts({ dirtyBytes: 0, dirtyChunks: 0, rounds: [record({})] }));
  assert.equal(estimate.wireBytes, 0);
  assert.equal(estimate.seconds, 0);
  assert.equal(estimate.spillBytes, 0);
  assert.equal(estimate.targetBytes, 0);
});

test('space: whole chunks in the spill, within its limit; staged and undone at the target', () => {
  const estimate = estimateTarget(facts({ spillBytesMax: 30 * MIB }));
  assert.equal(estimate.spillBytes, 30 * MIB, 'the spill never takes more than its limit');
  assert.ok(estimate.targetBytes > 80 * MIB && estimate.targetBytes < 81 * MIB);
  assert.equal(estimateTarget(facts({})).spillBytes, 1000 * 65_536);
});

test('a first copy needs no space beside the disk, here or there', () => {
  const estimate = estimateTarget(facts({ filling: true, dirtyBytes: 2048 * MIB }));
  assert.equal(estimate.dirtyBytes, 1024 * MIB, 'never more than the disk');
  assert.equal(estimate.spillBytes, 0);
  assert.equal(estimate.targetBytes, 0);
});
