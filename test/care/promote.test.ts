// Becoming primary: the new epoch, what a promotion would lose by what each peer says, and what
// becomes of the records of targets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { freshState } from '../../src/care/create.js';
import {
  needsEpoch,
  type PeerView,
  promoted,
  promotionLoss,
  recordsOf,
  unknownEpoch,
} from '../../src/care/promote.js';
import {
  EMPTY_REPLICA,
  EMPTY_TARGET,
  type PointEntry,
  type ResourceState,
} from '../../src/format/resource-state.js';
import type { Epoch, PointRef } from '../../src/lineage/lineage.js';

const NOW_MS = Date.UTC(2026, 10, 21, 12);
const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
const point = (number: number): PointRef => ({
  id: id(number),
  number,
  timeMs: NOW_MS - 3_600_000 + number * 1000,
});
const EPOCH: Epoch = { id: id(100), number: 1, parent: null, node: 'a' };

function entry(number: number, damaged: readonly number[] = []): PointEntry {
  return {
    point: point(number),
    parent: null,
    consistency: damaged.length > 0 ? 'damaged' : 'crash',
    sizeBytes: 4096,
    changedBytes: 0,
    undo: null,
    lost: [],
    lostChunks: 0,
    damaged: [...damaged],
    damagedChunks: damaged.length,
  };
}

/** Node b, a replica at point 5. */
function replica(last: PointEntry = entry(5)): ResourceState {
  return {
    ...freshState('vm1'),
    resource: id(200),
    epochs: [EPOCH],
    replica: { ...EMPTY_REPLICA, point: last.point, chain: [entry(4), last] },
  };
}

type Said = NonNullable<PeerView['theirs']>;
const says = (target: string, facts: Partial<Said>): PeerView => ({
  target,
  theirs: {
    role: 'init',
    resourceId: id(200),
    epochs: [EPOCH],
    point: point(5),
    suspect: false,
    ...facts,
  },
});
const silent = (target: string): PeerView => ({ target, theirs: null });

test('a former primary at our point, with nothing written since, agrees: nothing is lost', () => {
  assert.equal(promotionLoss(replica(), [says('a', {})], NOW_MS), null);
});

test('every other answer is a loss, and the text says what there is and what the peer says', () => {
  const cases: [PeerView, RegExp][] = [
    [silent('a'), /; the primary does not answer$/],
    [says('a', { role: 'primary' }), /; the primary answers and is still primary$/],
    [says('a', { suspect: true }), /; the former primary answers and holds more than that$/],
    [says('a', { point: point(6) }), /; the former primary answers and holds more than that$/],
    [says('a', { point: null }), /; the former primary answers and holds more than that$/],
    [
      says('a', { epochs: [EPOCH, { ...EPOCH, id: id(101), number: 2 }] }),
      /; the primary answers and was promoted since \(epoch 2\)$/,
    ],
  ];
  for (const [peer, wanted] of cases) {
    const text = promotionLoss(replica(), [peer], NOW_MS) ?? 'null';
    assert.match(text, /^the last whole point is number 5 of 2026-11-21T11:00:05.000Z, .* old; /);
    assert.match(text, wanted);
  }
  assert.match(promotionLoss(replica(), [], NOW_MS) ?? '', /the primary has no address here$/);
});

test('of several peers each is named, and a replica with a later point is told of', () => {
  const peers = [
    silent('a'),
    says('c', { role: 'secondary', point: point(7) }),
    says('d', { role: 'secondary', point: point(5) }),
  ];
  const text = promotionLoss(replica(), peers, NOW_MS) ?? '';
  assert.match(text, /; a does not answer; c is a replica with the later point 7$/);
});

test('the primary agrees, but another peer does not, or cannot be asked: that is said', () => {
  const agreed = says('a', {});
  const older = says('c', { role: 'secondary', point: point(3) });
  assert.equal(promotionLoss(replica(), [agreed, older], NOW_MS), null);
  const later = says('c', { role: 'secondary', point: point(9) });
  assert.equal(promotionLoss(replica(), [agreed, later], NOW_MS), null, 'it has nothing more');
  const promotedSince = says('c', { epochs: [{ ...EPOCH, id: id(7), number: 9, node: 'c' }] });
  const text = promotionLoss(replica(), [agreed, promotedSince], NOW_MS);
  assert.match(text ?? '', /c answers and was promoted since \(epoch 9\)$/);
  assert.match(promotionLoss(replica(), [agreed, silent('c')], NOW_MS) ?? '', /c does not answer/);
});

test('H21: a damaged point is a loss though the primary agrees; its chunks are counted', () => {
  const text = promotionLoss(replica(entry(5, [1, 2, 9])), [says('a', {})], NOW_MS) ?? '';
  assert.match(text, /^3 chunks of point 5 could not be read on the primary/);
  const silence = promotionLoss(replica(entry(5, [1])), [silent('a')], NOW_MS) ?? '';
  assert.match(silence, /number 5 .*; 1 chunks of point 5 .*; the primary does not answer/);
});

test('an epoch counts only for the same resource, and by its id', () => {
  const state = replica();
  const other = { ...EPOCH, id: id(101), number: 1 };
  assert.equal(unknownEpoch(state, { resourceId: id(200), epochs: [EPOCH] }), null);
  assert.equal(unknownEpoch(state, { resourceId: id(200), epochs: [] }), null);
  assert.equal(unknownEpoch(state, { resourceId: id(200), epochs: [EPOCH, other] }), other);
  assert.equal(unknownEpoch(state, { resourceId: id(200), epochs: [other, EPOCH] }), null);
  assert.equal(unknownEpoch(state, { resourceId: id(1), epochs: [other] }), null);
  assert.equal(unknownEpoch(state, { resourceId: null, epochs: [other] }), null);
});

test('a promotion starts an epoch from the last point; who had the last one needs none', () => {
  const state = replica();
  assert.ok(needsEpoch(state, 'b'));
  const taken = promoted(state, 'b', seededRandom(1));
  assert.ok(!needsEpoch(taken, 'b'));
  const { number, parent, node } = taken.epochs.at(-1) ?? EPOCH;
  assert.deepEqual({ number, parent, node }, { number: 2, parent: id(5), node: 'b' });
  assert.deepEqual(taken.resource, state.resource);
  assert.equal(taken.written, false);
  assert.equal(taken.clean, null);
});

test('records of targets that are not served now are kept, and marked', () => {
  const b = { ...EMPTY_TARGET, point: point(5) };
  const c = { ...EMPTY_TARGET, point: point(4), away: true };
  const kept = recordsOf(['b', 'new'], { b, c });
  assert.deepEqual(kept, { b, c, new: EMPTY_TARGET });
  assert.deepEqual(recordsOf(['c'], { b, c }), { b: { ...b, away: true }, c });
});
