// A replica that has made KNOWN_POINTS_MAX points and forgets the oldest (receiver step 5): a round
// that is parked here is not one of those (D3, D4, H23).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { KNOWN_POINTS_MAX } from '../../src/format/resource-state.js';
import { same } from './checks.js';
import { large, ready } from './ladder-material.js';
import { limited } from './limit.js';

const LIMIT = limited(20_000);

test('the link is lost when COMMIT is asked: the round goes on', LIMIT, async () => {
  for (const points of [KNOWN_POINTS_MAX - 1, KNOWN_POINTS_MAX]) {
    const pair = await ready(3, { resumes: true }, large);
    const random = seededRandom(points);
    await pair.replicaNode.resourceFile.update((state) => ({
      ...state,
      knownPoints: [
        ...Array.from({ length: points - state.knownPoints.length }, () => random.bytes(16)),
        ...state.knownPoints,
      ],
    }));
    await pair.primaryNode.disk.write(0, Buffer.alloc(CHUNK_BYTES, 9));
    let cuts = 0;
    pair.during = async (call) => {
      if (call !== 'commit' || cuts > 0) return;
      cuts += 1;
      pair.link?.cut();
    };
    await pair.wholeRound();
    pair.during = null;
    assert.equal(cuts, 1);
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), `${points} points`);
    const { replica } = pair.replicaNode;
    assert.equal(replica.outcome(random.bytes(16)), 'forgotten', 'of any other round');
  }
});
