// The background pass as the role runs it: it goes round the disk, waits while a round runs, finds
// what nobody marked, and keeps its place and its findings in the state.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { silentLog } from '../../src/base/log.js';
import { type ScrubbedTarget, ScrubLoop } from '../../src/daemon/scrub-loop.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import { DISK } from '../crash/nodes.js';
import { type DriverWorld, driverWorld, SHAPE } from './driver-world.js';

const LIMIT = { timeout: 60_000 };
const awake = setInterval(() => {}, 1000);
after(() => clearInterval(awake));

const CHUNKS = SHAPE.sizeBytes / 65_536;
/** Of the disk a day: all of it in 864 s. */
const SHARE = 100;

interface Run {
  readonly world: DriverWorld;
  readonly target: { -readonly [K in keyof ScrubbedTarget]: ScrubbedTarget[K] };
  /** Lets the pass run for so long and ends it. */
  scrub(ms: number): Promise<void>;
}

async function ready(seed: number): Promise<Run> {
  const world = await driverWorld(seed);
  const { driver, pair } = world;
  assert.equal((await driver.sync({ wait: 'applied' })).outcome, 'applied');
  const target = {
    name: 'b',
    busy: false,
    round: driver.round,
    get record() {
      return driver.record;
    },
  };
  const scrub = async (ms: number): Promise<void> => {
    const loop = new ScrubLoop({
      volume: pair.primaryNode.primary.volume,
      compute: inlineCompute(packRaw),
      resourceFile: pair.primaryNode.resourceFile,
      targets: [target],
      clock: pair.clock,
      log: silentLog,
    });
    const stop = new AbortController();
    const running = loop.run(() => SHARE, stop.signal);
    await pair.clock.sleep(ms);
    stop.abort();
    await running;
  };
  return { world, target, scrub };
}

/** Another program writes the disk: no mark. */
async function writeBehind({ pair }: DriverWorld, offset: number): Promise<void> {
  const handle = await pair.senderWorld.open(DISK, 'write');
  await handle.write(Buffer.alloc(100, 77), offset);
  await handle.close();
}

test('a whole pass over an honest disk finds nothing and begins anew', LIMIT, async () => {
  const { world, scrub } = await ready(1);
  await scrub(900_000);
  const { record } = world.driver;
  assert.equal(record.untrackedChunks, 0);
  assert.ok(record.scrubChunk < CHUNKS / 4, `at ${record.scrubChunk} again`);
  assert.equal(world.driver.round.volume.dirtyBytes(0), 0);
});

test(
  'what nobody marked is found, counted, marked, and sent by the next round',
  LIMIT,
  async () => {
    const { world, scrub } = await ready(2);
    await writeBehind(world, 10 * 65_536 + 5);
    await writeBehind(world, 40 * 65_536);
    await scrub(900_000);
    const { driver, pair } = world;
    assert.equal(driver.record.untrackedChunks, 2);
    assert.equal(driver.round.volume.dirtyBytes(0), 2 * 65_536);
    assert.equal((await driver.sync({ wait: 'applied' })).outcome, 'applied');
    assert.ok(Buffer.from(pair.replicaNode.bytes()).equals(pair.primaryNode.bytes()));
    await scrub(900_000);
    assert.equal(driver.record.untrackedChunks, 2, 'once');
  },
);

test('its place is kept: the next run goes on from there', LIMIT, async () => {
  const { world, scrub } = await ready(3);
  await scrub(432_000);
  const half = world.driver.record.scrubChunk;
  assert.ok(half > CHUNKS * 0.4 && half < CHUNKS * 0.6, `${half} of ${CHUNKS}`);
  await writeBehind(world, 0);
  await scrub(400_000);
  assert.equal(world.driver.record.untrackedChunks, 0, 'the beginning has been looked at before');
  await scrub(200_000);
  assert.equal(world.driver.record.untrackedChunks, 1, 'and comes again');
});

test('while a round runs it looks at nothing, and does not make up for it', LIMIT, async () => {
  const { world, target, scrub } = await ready(4);
  await writeBehind(world, 0);
  target.busy = true;
  await scrub(900_000);
  assert.equal(world.driver.record.scrubChunk, 0);
  assert.equal(world.driver.record.untrackedChunks, 0);
});

test('without a point to compare with it stays where it is', LIMIT, async () => {
  const { world, scrub } = await ready(5);
  const { resourceFile } = world.pair.primaryNode;
  const { record } = world.driver;
  const point = { id: new Uint8Array(16).fill(9), number: 9, timeMs: 9 };
  await resourceFile.update((state) => ({
    ...state,
    targets: { ...state.targets, b: { ...record, proposed: { point, from: record.point } } },
  }));
  await scrub(100_000);
  assert.equal(world.driver.record.scrubChunk, 0);
});
