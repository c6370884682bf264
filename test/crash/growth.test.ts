// A disk that has grown here and not yet at the target (H14).
import { test } from 'node:test';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { same } from './checks.js';
import { another, ready, shape } from './ladder-material.js';
import { STATE } from './nodes.js';
import { grow } from './story.js';

test('own table lost, disk grown: no digest is asked for beyond the end of the target (H7)', async () => {
  const pair = await ready(21);
  pair.link?.cut();
  await grow(pair, shape.sizeBytes + 2 * CHUNK_BYTES);
  await pair.senderWorld.remove(`${STATE}/b.digests`);
  await pair.startPrimary();
  pair.connect();
  await pair.contact();
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the round after the growth');
  await another(pair);
});
