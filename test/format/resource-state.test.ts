// What resource.json may hold: times that can be shown, in every place where there is one. That it
// survives crashes: test/tracking/resource-file.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TIME_MS_MAX } from '../../src/base/units.js';
import { freshState } from '../../src/care/create.js';
import {
  decodeResourceState,
  EMPTY_REPLICA,
  EMPTY_TARGET,
  encodeResourceState,
  type ResourceState,
} from '../../src/format/resource-state.js';
import { badBecause } from './material.js';

function withTimes(timeMs: number): ResourceState[] {
  const point = { id: new Uint8Array(16), number: 1, timeMs };
  const fresh = freshState('vm1');
  return [
    { ...fresh, targets: { b: { ...EMPTY_TARGET, point } } },
    { ...fresh, targets: { b: { ...EMPTY_TARGET, proposed: { point, from: null } } } },
    { ...fresh, targets: { b: { ...EMPTY_TARGET, verifiedMs: timeMs } } },
    { ...fresh, targets: { b: { ...EMPTY_TARGET, lastRunMs: timeMs } } },
    { ...fresh, replica: { ...EMPTY_REPLICA, point } },
  ];
}

test('a time that no calendar has is refused, the last one of it is not', () => {
  for (const state of withTimes(TIME_MS_MAX)) {
    assert.deepEqual(decodeResourceState(encodeResourceState(state), 'here'), state);
  }
  for (const state of withTimes(TIME_MS_MAX + 1)) {
    const bytes = encodeResourceState(state);
    assert.throws(() => decodeResourceState(bytes, 'here'), badBecause(/8640000000000000/));
  }
});
