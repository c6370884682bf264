// What a driver makes of orders, firings and failures, on the real ladders in memory: what counts
// as a failure, what is skipped, what goes on over a lost link, and that nothing is lost by a
// cancel.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { hex } from '../../src/base/random.js';
import { type DriverWorld, driverWorld, overwrite, SETTINGS } from './driver-world.js';

/** What hangs in memory leaves nothing to wait for: the timer keeps node until the limit. */
const LIMIT = { timeout: 30_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const APPLIED = { wait: 'applied' } as const;

/** A world with a first point. */
async function ready(seed: number): Promise<DriverWorld> {
  const world = await driverWorld(seed);
  const outcome = await world.driver.sync(APPLIED);
  assert.equal(outcome.outcome, 'applied', outcome.text);
  return world;
}

function equal({ pair }: DriverWorld): void {
  assert.ok(Buffer.from(pair.replicaNode.bytes()).equals(pair.primaryNode.bytes()));
}

/** Does something at call number `at` of a kind. */
function atCall({ pair }: DriverWorld, name: string, at: number, act: () => Promise<void> | void) {
  let calls = 0;
  pair.during = async (call) => {
    if (call !== name) return;
    calls += 1;
    if (calls === at) await act();
  };
}

test('the first run fills and makes a point, the next has nothing to do', LIMIT, async () => {
  const world = await ready(1);
  const { driver, rounds, pair } = world;
  assert.equal(driver.cleanAtMs, null);
  assert.equal((await driver.sync(APPLIED)).outcome, 'nothing');
  assert.equal(driver.cleanAtMs, pair.clock.wallMs());
  assert.equal(rounds.records.length, 1);
  const [record] = rounds.records;
  assert.equal(record?.id, hex(driver.record.point?.id ?? new Uint8Array()));
  assert.equal(record?.outcome, 'committed');
  equal(world);
});

test(
  'a target that is away is a failure, counted, and forgotten with a commit',
  LIMIT,
  async () => {
    const world = await ready(2);
    const { driver, link, rounds } = world;
    await overwrite(world, 1);
    await link.renew();
    link.away = true;
    for (const count of [1, 2]) {
      const outcome = await driver.sync(APPLIED);
      assert.equal(outcome.outcome, 'failed');
      assert.equal(driver.record.failedRounds, count);
    }
    assert.equal(driver.lastError?.code, 'TARGET_LOST');
    assert.equal(rounds.records.length, 1, 'no round began');
    link.away = false;
    assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
    assert.equal(driver.record.failedRounds, 0);
    assert.equal(driver.lastError, null);
    equal(world);
  },
);

test('a firing during a round is skipped and counted; a held one is not', LIMIT, async () => {
  const world = await ready(3);
  const { driver } = world;
  await overwrite(world, 1);
  const fired: string[] = [];
  atCall(world, 'put', 1, async () => {
    fired.push(await driver.fire(1000));
    await driver.pause(true);
    fired.push(await driver.fire(2000));
  });
  assert.equal((await driver.sync(APPLIED)).outcome, 'applied', 'a pause lets a round go on');
  assert.deepEqual(fired, ['running', 'paused']);
  assert.equal(driver.skippedFirings, 1);
  assert.equal(await driver.fire(3000), 'paused');
  assert.equal(driver.record.lastRunMs, null, 'it is as if they had not come');
  await overwrite(world, 2);
  assert.equal((await driver.sync(APPLIED)).outcome, 'applied', 'an order runs all the same');
  await driver.pause(false);
  assert.equal(await driver.fire(4000), 'started');
  assert.equal(driver.record.lastRunMs, 4000);
  await driver.close();
});

test('a lost link: the same round goes on, and its proposal is left alone', LIMIT, async () => {
  const world = await ready(4);
  const { driver, link, rounds } = world;
  await overwrite(world, 1);
  atCall(world, 'put', 3, () => link.lose());
  assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
  assert.deepEqual(link.contacts, [false, true], 'the second for the running round');
  assert.equal(rounds.records.length, 2, 'one round');
  assert.ok((driver.record.failedRounds ?? 1) === 0);
  equal(world);
});

test(
  'an answer that is lost with the link is asked for, and the round is made',
  LIMIT,
  async () => {
    const world = await ready(5);
    const { driver, pair, rounds } = world;
    await overwrite(world, 1);
    assert.ok(pair.link);
    pair.link.losesAnswerTo = 'commit';
    assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
    assert.equal(rounds.records.at(-1)?.outcome, 'committed');
    equal(world);
  },
);

test('a link that stays away: unknown, counted; the next contact finds out', LIMIT, async () => {
  const world = await ready(6);
  const { driver, link, pair, rounds } = world;
  await overwrite(world, 1);
  assert.ok(pair.link);
  pair.link.losesAnswerTo = 'commit';
  atCall(world, 'commit', 1, () => {
    link.away = true;
  });
  assert.equal((await driver.sync(APPLIED)).outcome, 'failed');
  assert.equal(rounds.records.at(-1)?.outcome, 'unknown');
  assert.equal(driver.record.failedRounds, 1);
  const proposed = driver.record.proposed?.point.id;
  assert.ok(proposed, 'what became of it is still to be asked');
  link.away = false;
  await driver.sync(APPLIED);
  assert.equal(driver.record.failedRounds, 0, 'it was committed after all');
  const known = pair.primaryNode.resourceFile.state.knownPoints.map(hex);
  assert.ok(known.includes(hex(proposed)));
  equal(world);
});

test('cancel: failed by order, no failure, nothing lost, the session stays', LIMIT, async () => {
  const world = await ready(7);
  const { driver, link, rounds } = world;
  assert.equal(driver.cancel(), false, 'nothing runs');
  await overwrite(world, 1);
  const session = link.current;
  atCall(world, 'put', 2, () => void assert.equal(driver.cancel(), true));
  const outcome = await driver.sync(APPLIED);
  assert.equal(outcome.outcome, 'failed');
  assert.match(outcome.text, /cancelled by the operator/);
  const record = rounds.records.at(-1);
  assert.equal(record?.outcome, 'failed');
  assert.match(record?.error ?? '', /cancelled/);
  assert.equal(driver.record.failedRounds, 0);
  assert.equal(driver.record.proposed, null, 'the target has said that it never will be');
  assert.equal(link.current, session);
  const { round } = driver.parts;
  assert.equal(round.volume.dirtyBytes(round.slot), 4 * 1024 * 1024);
  world.pair.during = null;
  assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
  equal(world);
});

test(
  'cancel while the commit is asked cannot unmake it: the next contact says',
  LIMIT,
  async () => {
    const world = await ready(8);
    const { driver } = world;
    await overwrite(world, 1);
    atCall(world, 'commit', 1, () => void driver.cancel());
    const before = driver.record.point?.number ?? 0;
    const outcome = await driver.sync(APPLIED);
    world.pair.during = null;
    await driver.sync(APPLIED);
    await turn();
    assert.ok((driver.record.point?.number ?? 0) > before, `${outcome.outcome} ${outcome.text}`);
    equal(world);
  },
);

test('cancel while the link is away does not wait for the end of its time', LIMIT, async () => {
  const world = await ready(9);
  const { driver, link, pair } = world;
  await overwrite(world, 1);
  let lostMs = 0;
  atCall(world, 'put', 2, () => {
    link.away = true;
    link.lose();
    lostMs = pair.clock.monotonicMs();
    void pair.clock.sleep(300).then(() => driver.cancel());
  });
  assert.equal((await driver.sync(APPLIED)).outcome, 'failed');
  assert.ok(pair.clock.monotonicMs() - lostMs < SETTINGS.timeoutSeconds * 1000);
  link.away = false;
  pair.during = null;
  assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
  equal(world);
});

test('cancel while it is dialled: at once, and no failure of a round', LIMIT, async () => {
  const world = await ready(19);
  const { driver, link, pair } = world;
  await overwrite(world, 1);
  await link.renew();
  link.get = () => new Promise(() => {}); // nobody answers, and no time ends
  const ended = driver.sync(APPLIED);
  await pair.clock.sleep(10);
  assert.equal(driver.cancel(), true);
  assert.match((await ended).text, /cancelled by the operator/);
  assert.equal(driver.record.failedRounds, 0);
});

test(
  'an idle guest: what failed before is over once the target has all there is',
  LIMIT,
  async () => {
    const world = await ready(20);
    const { driver, link } = world;
    await overwrite(world, 1);
    assert.equal((await driver.sync(APPLIED)).outcome, 'applied');
    link.away = true;
    await link.renew();
    assert.equal((await driver.sync(APPLIED)).outcome, 'failed');
    assert.equal(driver.record.failedRounds, 1);
    link.away = false;
    assert.equal((await driver.sync(APPLIED)).outcome, 'nothing');
    assert.deepEqual([driver.record.failedRounds, driver.lastError], [0, null]);
  },
);

test('close ends a running round and leaves its bits', LIMIT, async () => {
  const world = await ready(10);
  const { driver, pair } = world;
  await overwrite(world, 1);
  let closing: Promise<void> | null = null;
  atCall(world, 'put', 2, () => {
    closing = driver.close();
  });
  const outcome = await driver.sync(APPLIED);
  assert.match(outcome.text, /the role ends/);
  await closing;
  const { round } = driver.parts;
  assert.equal(round.volume.dirtyBytes(round.slot), 4 * 1024 * 1024);
  assert.equal(driver.record.failedRounds, 0, 'an end on purpose is no failure');
  assert.equal(pair.primaryNode.primary.volume.suspect, false);
});

test('the rate: what was set, else what is configured; 0 is none', LIMIT, async () => {
  const { driver } = await driverWorld(11);
  assert.equal(driver.rateBitsPerSecond, 1_000_000);
  await driver.setRate(5000);
  assert.equal(driver.rateBitsPerSecond, 5000);
  await driver.apply({ ...SETTINGS, rateBitsPerSecond: 7000 });
  assert.equal(driver.rateBitsPerSecond, 5000, 'what an operator set outlives a reload');
  await driver.setRate(0);
  assert.equal(driver.rateBitsPerSecond, null);
  await driver.setRate(null);
  assert.equal(driver.rateBitsPerSecond, 7000);
});
