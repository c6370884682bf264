// verify certifies what it compared and nothing else: not what was dirty, not what was cut short,
// not a disk of which only the table was asked for, not a replica that was made anew since.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { type VerifiedResource, verifyPrimary } from '../../src/daemon/verification.js';
import { updateTarget } from '../../src/round/contact.js';
import { newWorld } from '../crash/pair.js';
import { type DriverWorld, driverWorld, overwrite, SHAPE } from './driver-world.js';

const LIMIT = { timeout: 30_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const CHUNKS = SHAPE.sizeBytes / 65_536;
const never = new AbortController().signal;

const resourceOf = ({ driver }: DriverWorld): VerifiedResource => ({
  settings: { name: 'vm1' },
  parts: { drivers: [driver] },
});

async function verify(world: DriverWorld, deep: boolean, signal = never) {
  const { results } = await verifyPrimary(resourceOf(world), deep, world.pair.clock, signal);
  assert.equal(results.length, 1);
  return results[0];
}

/** A world with a first point, nothing dirty. */
async function ready(seed: number): Promise<DriverWorld> {
  const world = await driverWorld(seed);
  assert.equal((await world.driver.sync({ wait: 'applied' })).outcome, 'applied');
  return world;
}

test('two equal disks, read: that is verified', LIMIT, async () => {
  const world = await ready(1);
  const result = await verify(world, true);
  assert.deepEqual([result?.differing, result?.dirtyChunks], [0, 0]);
  assert.equal(result?.text, 'the disks agree at point 1');
  assert.equal(world.driver.record.verifiedMs, world.pair.clock.wallMs());
});

test('equal tables are no verified disks, and the answer says so', LIMIT, async () => {
  const world = await ready(2);
  const result = await verify(world, false);
  assert.equal(result?.text, 'the digest tables agree at point 1; no disk was read');
  assert.equal(world.driver.record.verifiedMs, null);
});

test('with everything dirty nothing was compared, and nothing is verified', LIMIT, async () => {
  const world = await ready(3);
  await overwrite(world, 1);
  const result = await verify(world, true);
  assert.deepEqual([result?.differing, result?.dirtyChunks], [0, CHUNKS]);
  assert.equal(result?.text, 'nothing was compared');
  assert.equal(world.driver.record.verifiedMs, null);
});

test('an archive that was set back is an alarm until a comparison agrees', LIMIT, async () => {
  const world = await ready(9);
  const { round } = world.driver.parts;
  const setBack = { from: 9, to: 1, timeMs: 1 };
  await updateTarget(round, (record) => ({ ...record, setBack }));
  await overwrite(world, 1);
  await verify(world, true);
  assert.deepEqual(world.driver.record.setBack, setBack, 'nothing was compared');
  assert.equal((await world.driver.sync({ wait: 'applied' })).outcome, 'applied');
  assert.deepEqual(world.driver.record.setBack, setBack, 'a round compares nothing');
  await verify(world, false);
  assert.equal(world.driver.record.setBack, undefined);
});

test('what is dirty is left out of the sentence too', LIMIT, async () => {
  const world = await ready(4);
  await world.pair.primaryNode.disk.write(0, Buffer.alloc(4096, 7));
  const result = await verify(world, true);
  const compared = `of the ${CHUNKS - 1} chunks that could be compared`;
  assert.equal(result?.text, `the disks agree at point 1, ${compared}`);
  assert.notEqual(world.driver.record.verifiedMs, null);
});

test('a replica made anew has not been verified', LIMIT, async () => {
  const world = await ready(5);
  const { pair, link, driver } = world;
  await verify(world, true);
  assert.notEqual(driver.record.verifiedMs, null);
  await link.renew();
  await pair.replicaNode.replica.close();
  pair.receiverWorld = newWorld(null);
  await pair.startReplica();
  assert.equal((await driver.sync({ wait: 'applied' })).outcome, 'applied');
  assert.equal(driver.record.verifiedMs, null);
});

test('who asked goes away: it ends, and nothing is verified', LIMIT, async () => {
  const stopped = (error: unknown) => codeOf(error) === 'ROUND_STOPPED';
  const world = await ready(6);
  const early = new AbortController();
  let asked = 0;
  world.pair.during = async (call) => {
    if (call === 'digests') asked += 1;
  };
  early.abort();
  await assert.rejects(verify(world, true, early.signal), stopped);
  assert.equal(asked, 0, 'nothing was read for nobody');

  const gone = new AbortController();
  world.pair.during = async () => gone.abort();
  await assert.rejects(verify(world, true, gone.signal), stopped);
  assert.equal(world.driver.record.verifiedMs, null);
});

test('while a round runs it waits, and is not begun for one who has gone', LIMIT, async () => {
  const world = await ready(7);
  await overwrite(world, 1);
  const gone = new AbortController();
  let verifying: Promise<unknown> = Promise.resolve();
  let once = true;
  world.pair.during = async (call) => {
    if (call !== 'put' || !once) return;
    once = false;
    verifying = verify(world, true, gone.signal);
    verifying.catch(() => undefined);
    gone.abort();
  };
  assert.equal((await world.driver.sync({ wait: 'applied' })).outcome, 'applied');
  await assert.rejects(verifying, (error: unknown) => codeOf(error) === 'ROUND_STOPPED');
});

test('without a target there is nothing to compare, and that is no success', async () => {
  const none = { settings: { name: 'vm1' }, parts: { drivers: [] } };
  const { clock } = (await driverWorld(8)).pair;
  await assert.rejects(verifyPrimary(none, true, clock, never), (error: unknown) => {
    assert.equal(codeOf(error), 'CONTROL_NO_TARGET');
    assert.match(String(error), /vm1: no target with an address/);
    return true;
  });
});
