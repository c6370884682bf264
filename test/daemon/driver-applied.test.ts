// A driver whose target may not have its last point in its disk: what it says of it after a restart
// of the primary, what an order to wait for it comes to, and what does not count as clean.
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { TargetDriver } from '../../src/daemon/target-driver.js';
import { TargetError } from '../../src/target/target.js';
import { type DriverWorld, driverWorld, SETTINGS } from './driver-world.js';

const LIMIT = { timeout: 30_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const APPLIED = { wait: 'applied' } as const;

/** A world with a first point, and a driver that has begun since. */
async function restarted(t: TestContext, seed: number): Promise<DriverWorld> {
  const world = await driverWorld(seed);
  assert.equal((await world.driver.sync(APPLIED)).outcome, 'applied');
  assert.equal(world.driver.applying, false);
  const driver = new TargetDriver(world.driver.parts, SETTINGS, false);
  t.after(() => driver.close());
  return { ...world, driver };
}

/** Every session there is and will be says so of a point that is asked for. */
function cannotApply({ pair, link }: DriverWorld): { heals: () => void } {
  const connect = pair.connect.bind(pair);
  let broken = true;
  pair.connect = () => {
    const made = connect();
    const applied = made.applied.bind(made);
    const fault = { code: 'TARGET_REFUSED', target: 'b', reason: 'apply-failed' } as const;
    made.applied = (point) =>
      broken ? Promise.reject(new TargetError({ ...fault, text: 'ENOSPC' })) : applied(point);
    return made;
  };
  link.lose();
  return {
    heals: () => {
      broken = false;
    },
  };
}

test(
  'after a restart the first session is asked, also while nothing is dirty',
  LIMIT,
  async (t) => {
    const { driver, link, pair } = await restarted(t, 1);
    assert.equal(driver.applying, true, 'nobody has asked yet');
    await link.renew();
    driver.start();
    await pair.clock.sleep(600_000);
    assert.equal(driver.applying, true, 'there is no session');
    await link.get();
    await pair.clock.sleep(2000);
    assert.equal(driver.applying, false);
    assert.equal(driver.record.failedRounds, 0);
  },
);

test(
  'a point that was never applied is a failure of each session, until it is',
  LIMIT,
  async (t) => {
    const world = await restarted(t, 2);
    const { driver, link, pair } = world;
    const { heals } = cannotApply(world);
    driver.start();
    await link.get();
    await pair.clock.sleep(600_000);
    assert.equal(driver.applying, true);
    assert.equal(driver.record.failedRounds, 1);
    assert.match(driver.lastError?.text ?? '', /apply-failed.*ENOSPC/);
    const outcome = await driver.sync(APPLIED);
    assert.equal(outcome.outcome, 'failed', 'nothing is dirty, and it has not arrived');
    assert.equal(driver.cleanAtMs, null);
    heals();
    await link.renew();
    await link.get();
    await pair.clock.sleep(2000);
    assert.equal(driver.applying, false);
    assert.equal((await driver.sync(APPLIED)).outcome, 'nothing');
    assert.equal(driver.cleanAtMs, pair.clock.wallMs());
  },
);

test('who waits until it is applied waits for the point before, too', LIMIT, async (t) => {
  const world = await restarted(t, 3);
  const { driver } = world;
  assert.equal((await driver.sync({ wait: 'commit' })).outcome, 'nothing');
  assert.deepEqual([driver.applying, driver.cleanAtMs], [true, null], 'not known to be clean');
  assert.equal((await driver.sync(APPLIED)).outcome, 'nothing');
  assert.equal(driver.applying, false);
  const { heals } = cannotApply(world);
  const next = new TargetDriver(driver.parts, SETTINGS, false);
  assert.equal((await next.sync(APPLIED)).outcome, 'failed');
  heals();
  assert.equal((await next.sync(APPLIED)).outcome, 'nothing');
});
