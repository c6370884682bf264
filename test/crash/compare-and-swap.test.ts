// Receiver step 4 is a compare-and-swap: what admitted a round is compared again at its COMMIT. A
// daemon changes none of it while a session is there (it ends the session before), so that no
// simulated run can; here it is changed under a round that has been sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ResourceState } from '../../src/format/resource-state.js';
import { idOf, pointOf } from '../peer/material.js';
import { same } from './checks.js';
import { another, coded, ready, stateFiles } from './ladder-material.js';
import { limited } from './limit.js';
import type { Pair } from './pair.js';

const LIMIT = limited(20_000);

/** What else happens at the replica between BEGIN and COMMIT, and the reason it must give. */
const CHANGES: readonly [string, string, (state: ResourceState) => ResourceState][] = [
  ['its role', 'not-secondary', (state) => ({ ...state, role: 'primary' })],
  [
    'its epoch',
    'wrong-epoch',
    (state) => {
      const parent = state.replica.point?.id ?? null;
      const epoch = { id: idOf(2), number: 2, parent, node: 'c' };
      return { ...state, epochs: [...state.epochs, epoch] };
    },
  ],
  [
    'what it thinks of its disk',
    'suspect',
    (state) => ({ ...state, replica: { ...state.replica, suspect: 'somebody was here' } }),
  ],
  [
    'its point',
    'wrong-from',
    (state) => ({ ...state, replica: { ...state.replica, point: pointOf(77) } }),
  ],
];

/** Just before COMMIT arrives. */
function atCommit(pair: Pair, change: () => Promise<void>): void {
  pair.during = async (call) => {
    if (call !== 'commit') return;
    pair.during = null;
    await change();
  };
}

for (const [what, reason, change] of CHANGES) {
  test(`a replica that has changed ${what} since BEGIN does not commit`, LIMIT, async () => {
    const pair = await ready(1);
    const { resourceFile } = pair.replicaNode;
    const before = pair.replicaNode.bytes().slice();
    const state = resourceFile.state;
    await pair.guest.some(pair.primaryNode.disk, 3);
    atCommit(pair, () => resourceFile.update(change));
    await assert.rejects(pair.round(), (error) => {
      assert.match(String(error), new RegExp(reason));
      return coded('ROUND_REFUSED')(error);
    });
    assert.deepEqual(await stateFiles(pair, 'committed-'), []);
    same(pair.replicaNode.bytes(), before, 'nothing was applied');
    // As it was: the next round brings all of it.
    await resourceFile.update(() => state);
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await another(pair);
  });
}
