// One copy of the state is lost and, while hastd was down, somebody has written to the disk: the
// clean mark that is left still says how the disk was, and it is looked at (H11).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { same } from '../crash/checks.js';
import { limited } from '../crash/limit.js';
import { DISK, STATE } from '../crash/nodes.js';
import { scene } from './scenes.js';

const LIMIT = limited(20_000);

for (const name of ['resource.json', 'resource.json.2']) {
  test(`${name} has rotted, and the disk was written behind our back`, LIMIT, async () => {
    const at = await scene('clean stop', 61);
    const pair = at.pair.fork('sender', 'none', 7, 'killed');
    at.heard.lines = [];
    pair.senderWorld.flip(`${STATE}/${name}`, 60);
    for (const offset of [100, 70_000, 140_000, 200_000]) pair.senderWorld.flip(DISK, offset);
    await pair.startReplica();
    await pair.startPrimary();
    assert.equal(pair.primaryNode.primary.belief, 'all', 'everything is compared');
    assert.ok(at.heard.naming(`${STATE}/${name}: `), at.heard.lines.join('\n'));
    pair.connect();
    assert.equal(await pair.contact(), 'ready');
    await pair.settle();
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'what was written is there');
  });
}
