// A BEGIN whose size no disk has (H14): refused before anything of it is published, or the state
// and the files made with it could not be read again.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK_BYTES_MAX } from '../../src/base/units.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { beginOf, ready, refusedAs, shape } from './ladder-material.js';
import { limited } from './limit.js';
import { Pair } from './pair.js';

const LIMIT = limited(20_000);
const SIZES = [0, 100, shape.sizeBytes + 100, -512, DISK_BYTES_MAX + 512, Number.NaN];

test('no size of a disk begins a first copy', LIMIT, async () => {
  const pair = new Pair(shape, 1);
  await pair.startReplica();
  await pair.startPrimary();
  const before = pair.replicaNode.resourceFile.state;
  for (const sizeBytes of SIZES) {
    const session = new ReplicaSession(pair.replicaNode.replica);
    const begin = beginOf(pair, { from: null, sizeBytes });
    await assert.rejects(session.begin(begin), refusedAs('size', /size of no disk/));
    await session.close();
    assert.deepEqual(pair.replicaNode.resourceFile.state, before, `${sizeBytes} is not published`);
  }
  await pair.replicaNode.replica.close();
  await pair.startReplica();
  pair.connect();
  await pair.meet();
  await pair.wholeRound();
});

test('nor a later round', LIMIT, async () => {
  const pair = await ready(2);
  for (const sizeBytes of SIZES) {
    const begin = beginOf(pair, { sizeBytes });
    await assert.rejects(pair.target.begin(begin), refusedAs('size', /size of no disk/));
  }
  await pair.target.begin(beginOf(pair));
});
