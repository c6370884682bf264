// What resource.json may hold: times that can be shown, in every place where there is one, and
// sizes that a disk and its maps can have. That it survives crashes: resource-file.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK_BYTES_MAX, TIME_MS_MAX } from '../../src/base/units.js';
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

test('a field of a later release is passed over, one that is absent is not made up', () => {
  const fresh = freshState('vm1');
  const later = { ...fresh, targets: { b: { ...EMPTY_TARGET, later: 1 } }, later: { some: [1] } };
  const bytes = encodeResourceState(later);
  assert.match(Buffer.from(bytes).toString(), /"later":\{"some":\[1\]\}/);
  assert.deepEqual(decodeResourceState(bytes, 'here'), {
    ...fresh,
    targets: { b: EMPTY_TARGET },
  });
  const { maps: _, ...clean } = { fingerprint: {}, maps: 1 };
  const lacking = encodeResourceState({
    ...fresh,
    clean: clean as typeof clean & { maps: number },
  });
  assert.throws(() => decodeResourceState(lacking, 'here'), badBecause(/maps|expected/i));
});

test('a time that no calendar has is refused, the last one of it is not', () => {
  for (const state of withTimes(TIME_MS_MAX)) {
    assert.deepEqual(decodeResourceState(encodeResourceState(state), 'here'), state);
  }
  for (const state of withTimes(TIME_MS_MAX + 1)) {
    const bytes = encodeResourceState(state);
    assert.throws(() => decodeResourceState(bytes, 'here'), badBecause(/8640000000000000/));
  }
});

test('a size that no disk has is refused, and an extent that no map has', () => {
  const fresh = freshState('vm1');
  const decoded = (change: Partial<ResourceState>) =>
    decodeResourceState(encodeResourceState({ ...fresh, ...change }), 'here');
  for (const sizeBytes of [0, 512, DISK_BYTES_MAX]) {
    assert.equal(decoded({ sizeBytes }).sizeBytes, sizeBytes);
  }
  for (const sizeBytes of [1, 513, DISK_BYTES_MAX + 512]) {
    assert.throws(() => decoded({ sizeBytes }), badBecause(/./), `${sizeBytes}`);
  }
  for (const extentBytes of [1, 4096, 65_537, 3 * 65_536, 2 ** 32]) {
    assert.throws(() => decoded({ extentBytes }), badBecause(/./), `${extentBytes}`);
  }
  for (const extentBytes of [0, 65_536])
    assert.equal(decoded({ extentBytes }).extentBytes, extentBytes);
});
