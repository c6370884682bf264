// Several targets of one primary (D6, H16): rounds that overlap, one that is dead, slow or full,
// one that goes away and comes back, and a sender that crashes at every step of all that.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { deferred } from '../../src/base/sync.js';
import { MIB, SECTOR_BYTES } from '../../src/base/units.js';
import { same } from './checks.js';
import { coded } from './ladder-material.js';
import { limited } from './limit.js';
import { STATE } from './nodes.js';
import { TARGETS, Trio } from './trio.js';

const LIMIT = limited(60_000);

const given = process.env['HAST_SEED'];
const seed = given === undefined ? Date.now() % 100_000 : Number(given);
const all = process.env['HAST_REQUIRE_ALL'] === '1';

const shape = {
  sizeBytes: 256 * 1024 + SECTOR_BYTES,
  extentBytes: 65_536,
  keepdirty: 1,
  spillBytes: 4 * MIB,
  retain: 3,
};

async function ready(at: number, size: typeof shape = shape): Promise<Trio> {
  const trio = new Trio(size, at);
  await trio.startReplicas();
  await trio.startPrimary();
  for (const slot of TARGETS.keys()) {
    await trio.meet(slot);
    await trio.wholeRound(slot);
    trio.check(slot, 'the first point');
  }
  return trio;
}

/** Rounds of both targets that overlap, with a guest that writes before every call of either. */
async function overlapping(trio: Trio): Promise<void> {
  await trio.guest.some(trio.node.disk, 3);
  trio.during = () => trio.guest.some(trio.node.disk, 1);
  const first = trio.wholeRound(0);
  first.catch(() => undefined);
  await turn();
  const second = trio.wholeRound(1);
  second.catch(() => undefined);
  await Promise.all([first, second]);
  trio.during = null;
}

test('rounds that overlap: each target gets its own cut (H16, D2)', LIMIT, async (t) => {
  t.diagnostic(`HAST_SEED=${seed}`);
  for (let run = 0; run < 20; run += 1) {
    const trio = await ready(seed + run);
    for (let round = 0; round < 2; round += 1) {
      await overlapping(trio);
      for (const slot of TARGETS.keys()) trio.check(slot, `run ${run}, round ${round}`);
    }
    for (const slot of TARGETS.keys()) {
      await trio.wholeRound(slot);
      same(trio.replica(slot).bytes(), trio.node.bytes(), 'without a guest both become equal');
    }
  }
});

test('a target that never answers holds nobody (D6)', LIMIT, async () => {
  const trio = await ready(1);
  const gate = deferred<void>();
  await trio.guest.some(trio.node.disk, 3);
  trio.during = async (slot) => (slot === 0 ? gate.promise : trio.guest.some(trio.node.disk, 1));
  const slow = trio.wholeRound(0);
  for (let round = 0; round < 5; round += 1) {
    await trio.wholeRound(1);
    trio.check(1, `round ${round} beside a dead target`);
  }
  trio.during = null;
  gate.resolve();
  await slow;
  trio.check(0, 'the slow target, at its old cut');
  await trio.wholeRound(0);
  same(trio.replica(0).bytes(), trio.node.bytes(), 'and then as the disk is');
});

test('a full spill is of one target (D6, H17)', LIMIT, async () => {
  const trio = await ready(2, { ...shape, spillBytes: 2 * 65_536 });
  const { disk } = trio.node;
  const write = (chunk: number, value: number): unknown =>
    disk.write(chunk * 65_536, Buffer.alloc(4096, value));
  for (const chunk of [0, 1, 2, 3]) await write(chunk, 1);
  const gate = deferred<void>();
  trio.during = async (slot, call) => {
    if (slot === 0 && call === 'begin') await gate.promise;
  };
  const slow = trio.round(0);
  while (!trio.node.primary.volume.core.slots[0]?.active) await turn();
  for (const chunk of [0, 1, 2, 3]) await write(chunk, 2);
  await trio.wholeRound(1);
  trio.check(1, 'beside a round whose spill is full');
  gate.resolve();
  await assert.rejects(slow, coded('ROUND_SPILL_FULL'));
  trio.during = null;
  await trio.wholeRound(0);
  same(trio.replica(0).bytes(), trio.node.bytes(), 'the next round of it');
});

test(
  'a target that was left out for a time is compared when it comes back (H9)',
  LIMIT,
  async () => {
    const trio = await ready(3);
    await trio.node.disk.write(0, Buffer.alloc(4096, 1));
    await trio.node.primary.closeClean();
    // What becoming primary does with a target that the configuration does not name.
    const leave = (away: boolean) =>
      trio.node.resourceFile.update((state) => ({
        ...state,
        targets: Object.fromEntries(
          Object.entries(state.targets).map(([name, record]) => [
            name,
            name === 'c' ? { ...record, away } : record,
          ]),
        ),
      }));
    await leave(true);
    await trio.startPrimary(['b']);
    await trio.node.disk.write(65_536, Buffer.alloc(8192, 2));
    await trio.meet(0);
    await trio.wholeRound(0);
    same(trio.replica(0).bytes(), trio.node.bytes(), 'the target that stayed');
    await trio.node.primary.closeClean();
    assert.equal(trio.node.resourceFile.state.targets['c']?.away, true);
    await trio.startPrimary();
    assert.equal(trio.node.resourceFile.state.targets['c']?.away, false);
    trio.check(1, 'come back');
    await trio.meet(1);
    const dropped = await trio.settle(1);
    assert.ok(dropped > 0, 'what is equal is found equal here, without the link');
    await trio.wholeRound(1);
    same(trio.replica(1).bytes(), trio.node.bytes(), 'the target that came back');
  },
);

test(
  'the sender crashes at every step of overlapping rounds (W1, D1, D2, H16)',
  LIMIT,
  async (t) => {
    t.diagnostic(`HAST_SEED=${seed}`);
    const whole = await ready(seed);
    const before = whole.senderWorld.steps;
    await overlapping(whole);
    const after_ = whole.senderWorld.steps;
    let crashes = 0;
    const stride = all ? 1 : 3;
    for (let step = before + (seed % stride); step < after_; step += stride) {
      for (const loss of ['none', 'all', 'seeded'] as const) {
        const trio = await ready(seed);
        trio.senderWorld.crashAt(step);
        overlapping(trio).catch(() => undefined);
        await trio.senderWorld.stopped;
        await turn();
        const what = `HAST_SEED=${seed}, ${trio.senderWorld.stoppedAt}, loss ${loss}`;
        await trio.crash(loss, seed + step);
        await turn();
        await trio.startPrimary();
        crashes += 1;
        for (const slot of TARGETS.keys()) {
          await trio.meet(slot);
          await trio.replica(slot).replica.idle();
          trio.check(slot, what);
          if (step % 2 === 0) await trio.settle(slot);
          await trio.wholeRound(slot);
          same(trio.replica(slot).bytes(), trio.node.bytes(), `${what}: ${TARGETS[slot]}`);
          trio.check(slot, what);
        }
      }
    }
    t.diagnostic(`${crashes} crashes`);
    assert.ok(crashes > 20, `${crashes} crashes, the state is in ${STATE}`);
  },
);
