// Several targets of one resource, as a user would try them (D6, H16): a dead one and a slow one
// hold nobody, one that comes back catches up, each has its own points; orders for one target or
// all.
import assert from 'node:assert/strict';
import { closeSync, openSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SyncAnswer } from '../../src/control/api.js';
import { assertSameImages, MIB } from './images.js';
import type { RealNode } from './nodes.js';
import { startTrio, type Trio } from './trio.js';
import { never, target, until, write } from './trio-steps.js';

const SIZE = 24 * MIB;

type Outcome = SyncAnswer['outcomes'][number];

/** A round of every target; what it came to, by target. */
async function sync(node: RealNode, wait: 'applied' | 'commit' | null = 'applied') {
  const { outcomes } = await node.control.sync('vm1', { wait }, never());
  return Object.fromEntries(outcomes.map((each) => [each.target, each])) as Record<string, Outcome>;
}

async function bothApplied(trio: Trio): Promise<void> {
  const { b, c } = await sync(trio.a);
  assert.equal(b?.outcome, 'applied', b?.text);
  assert.equal(c?.outcome, 'applied', c?.text);
}

async function started(t: TestContext, options: Partial<Parameters<typeof startTrio>[1]> = {}) {
  const trio = await startTrio(t, { sizeBytes: SIZE, ...options });
  await write(trio.a, 0, 4 * MIB, 1);
  await bothDone(trio.a);
  return trio;
}

test('one target is killed, one is slow: neither holds the other, both end equal', async (t) => {
  const trio = await started(t, { config: 'interval 1h  timeout 5s' });
  const { a, b, c, toC } = trio;
  assertSameImages(a.image, b.image);
  assertSameImages(a.image, c.image);

  // c takes 12 s for 6 MiB of content that no compression makes smaller; b is done long before.
  toC.bytesPerSecond = 512 * 1024;
  await write(a, 8 * MIB, 6 * MIB, 2);
  const slow = a.control.sync('vm1', { wait: null }, never());
  await slow;
  await until('b has the point', async () => (await target(a, 'b')).dirtyBytes === 0);
  const ofC = await target(a, 'c');
  assert.equal(ofC.work, 'sending', 'c is still at it');
  assert.ok(ofC.dirtyBytes >= 6 * MIB);

  // b dies while c sends; c goes on, the guest writes on.
  await b.kill('SIGKILL');
  await write(a, 16 * MIB, MIB, 3);
  await until('c has its point', async () => (await target(a, 'c')).round === null);
  toC.bytesPerSecond = null;
  const after = await sync(a);
  assert.equal(after['b']?.outcome, 'failed', after['b']?.text);
  assert.equal(after['c']?.outcome, 'applied', after['c']?.text);
  assertSameImages(a.image, c.image);
  const dead = await target(a, 'b');
  assert.equal(dead.link, 'down');
  assert.ok(dead.failedRounds > 0 && dead.unreachableSince !== null);
  assert.equal((await target(a, 'c')).failedRounds, 0, 'the failure of b is its own');

  // b comes back and catches up with what it has missed.
  await b.hastd();
  await until('b is there', async () => (await target(a, 'b')).link === 'up');
  if ((await b.control.status(['vm1'])).resources[0]?.role !== 'secondary') {
    await b.ask('role', 'secondary', 'vm1');
  }
  await until('b has all', async () => {
    const { b: caught } = await sync(a);
    return caught?.outcome === 'applied' || caught?.outcome === 'nothing';
  });
  assertSameImages(a.image, b.image);
  assert.equal((await target(a, 'b')).failedRounds, 0);
});

test('each target stands at its own point, and the points say whose they are', async (t) => {
  const trio = await started(t);
  const { a, b, c, toB } = trio;
  toB.closed = true;
  toB.cut();
  await write(a, 5 * MIB, MIB, 4);
  const { b: lost, c: made } = await sync(a);
  assert.equal(lost?.outcome, 'failed');
  assert.equal(made?.outcome, 'applied');
  const { points } = await a.control.points('vm1');
  const [ofB, ofC] = ['b', 'c'].map((name) => points.find((point) => point.target === name));
  assert.ok(ofB && ofC && ofC.number > ofB.number);
  assert.equal((await b.control.points('vm1')).points.at(-1)?.id, ofB.id);
  assert.equal((await c.control.points('vm1')).points.at(-1)?.id, ofC.id);
  const { rounds } = await a.control.rounds('vm1');
  assert.deepEqual(new Set(rounds.map((round) => round.target)), new Set(['b', 'c']));
  toB.closed = false;
  await until('b has all', async () => (await sync(a))['b']?.outcome !== 'failed');
  assertSameImages(a.image, b.image);
});

test('pause holds the schedule of one target, over a restart, and not an order', async (t) => {
  const trio = await started(t, { config: 'schedule "*/2 * * * * *"' });
  const { a, b, c } = trio;
  const paused = await a.ctl('pause', 'vm1', 'b');
  assert.equal(paused.status, 0, paused.stderr);
  await until('b is still', async () => (await target(a, 'b')).work === 'paused');
  const { lastPoint, skippedFirings } = await target(a, 'b');
  const before = lastPoint?.number;
  await write(a, 6 * MIB, MIB, 5);
  await until('c has it by its schedule', async () => (await target(a, 'c')).dirtyBytes === 0);
  await sleep(2500);
  const held = await target(a, 'b');
  assert.equal(held.lastPoint?.number, before, 'no firing of b');
  assert.equal(held.skippedFirings, skippedFirings, 'held firings are not counted as skipped');
  assert.ok(held.dirtyBytes > 0);

  assert.equal(await a.kill('SIGTERM'), 0);
  await a.hastd();
  const { resources } = await a.control.status(['vm1']);
  if (resources[0]?.role !== 'primary') await a.ask('role', 'primary', 'vm1');
  assert.equal((await target(a, 'b')).paused, true, 'kept over a restart');
  await until('b is there', async () => (await target(a, 'b')).link === 'up');
  await bothDone(a);
  assertSameImages(a.image, b.image);

  assert.equal((await a.ctl('resume', 'vm1')).status, 0);
  await write(a, 7 * MIB, MIB, 6);
  await until('b has it by its schedule', async () => (await target(a, 'b')).dirtyBytes === 0);
  await until('c too', async () => (await target(a, 'c')).dirtyBytes === 0);
  await bothDone(a);
  assertSameImages(a.image, b.image);
  assertSameImages(a.image, c.image);
});

async function bothDone(a: RealNode): Promise<void> {
  for (const outcome of Object.values(await sync(a))) {
    assert.match(outcome.outcome, /^(applied|nothing)$/, outcome.text);
  }
}

test('cancel ends the round of one target, loses nothing, and the link stays', async (t) => {
  const trio = await started(t, { ofB: 'rate 4mbit' });
  const { a, b, c } = trio;
  assert.notEqual((await a.ctl('cancel', 'vm1')).status, 0, 'there is nothing to cancel');
  await write(a, 8 * MIB, 8 * MIB, 7);
  const running = a.control.sync('vm1', { wait: 'commit' }, never());
  await until(
    'b is being sent',
    async () => ((await target(a, 'b')).round?.wireUpBytes ?? 0) > 1e5,
  );
  const cancelled = await a.ctl('cancel', 'vm1', 'b');
  assert.equal(cancelled.status, 0, cancelled.stderr);
  const { outcomes } = await running;
  const [ofB, ofC] = ['b', 'c'].map((name) => outcomes.find((each) => each.target === name));
  assert.equal(ofB?.outcome, 'failed');
  assert.match(ofB?.text ?? '', /cancelled by the operator/);
  assert.equal(ofC?.outcome, 'committed', ofC?.text);
  const record = (await a.control.rounds('vm1')).rounds.findLast((each) => each.target === 'b');
  assert.equal(record?.outcome, 'failed');
  const after = await target(a, 'b');
  assert.equal(after.link, 'up');
  assert.ok(after.dirtyBytes >= 8 * MIB, 'all of it is still to be sent');
  assert.equal(after.failedRounds, 0, 'an order is no failure');
  await a.ask('set', 'vm1', 'rate', 'none');
  await bothDone(a);
  assertSameImages(a.image, b.image);
  assertSameImages(a.image, c.image);
});

test('set rate: at once, under a running round, kept; and back to the configuration', async (t) => {
  const trio = await started(t, { ofB: 'rate 100mbit' });
  const { a, b, toB } = trio;
  assert.equal((await target(a, 'b')).rateBitsPerSecond, 100_000_000);
  assert.equal((await target(a, 'c')).rateBitsPerSecond, null);
  const slower = await a.ctl('set', 'vm1', 'rate', '2mbit', '--target', 'b');
  assert.equal(slower.status, 0, slower.stderr);
  assert.equal((await target(a, 'b')).rateBitsPerSecond, 2_000_000);
  await write(a, 8 * MIB, 8 * MIB, 8);
  const running = a.control.sync('vm1', { wait: 'applied' }, never());
  await until(
    'b is being sent',
    async () => ((await target(a, 'b')).round?.wireUpBytes ?? 0) > 1e5,
  );
  const from = { at: performance.now(), bytes: toB.bytes.up };
  await sleep(4000);
  const rate = ((toB.bytes.up - from.bytes) * 8000) / (performance.now() - from.at);
  assert.ok(rate < 2_000_000 * 1.15 && rate > 1_000_000, `${Math.round(rate)} bits a second`);
  assert.equal((await a.ctl('set', 'vm1', 'rate', 'none')).status, 0);
  const began = performance.now();
  for (const { outcome, text } of (await running).outcomes) assert.equal(outcome, 'applied', text);
  assert.ok(performance.now() - began < 15_000, 'the rest goes without a limit');
  assertSameImages(a.image, b.image);
  assert.equal((await a.ctl('set', 'vm1', 'rate', 'default')).status, 0);
  assert.equal((await target(a, 'b')).rateBitsPerSecond, 100_000_000);
});

test('a dry run says what is dirty for each target, and what a round will cost', async (t) => {
  const trio = await started(t);
  const { a, toC } = trio;
  toC.closed = true;
  toC.cut();
  await write(a, 8 * MIB, 2 * MIB, 9);
  await sync(a);
  await write(a, 12 * MIB, MIB, 10);
  const { targets } = await a.control.estimate('vm1');
  const [ofB, ofC] = ['b', 'c'].map((name) => targets.find((each) => each.target === name));
  assert.ok(ofB && ofC);
  assert.equal(ofB.dirtyBytes, MIB);
  assert.equal(ofC.dirtyBytes, 3 * MIB, 'c has missed a round');
  assert.ok(ofB.wireBytes > 0.5 * MIB && ofB.wireBytes < 2 * MIB, `${ofB.wireBytes}`);
  assert.ok(ofB.seconds !== null && ofB.bytesPerSecond !== null);
  const { dirtyBytes } = await target(a, 'b');
  assert.equal(dirtyBytes, MIB, 'nothing was sent by asking');
  const shown = await a.ctl('sync', '--dry-run', 'vm1');
  assert.equal(shown.status, 0, shown.stderr);
  assert.match(shown.stdout, /\bb\b/);
});

test('a target that is taken away and comes back is compared, not copied', async (t) => {
  const trio = await started(t, { config: 'interval 1h  timeout 5s' });
  const { a, b, c, toC } = trio;
  const config = 'interval 1h  timeout 5s';
  await write(a, 0, 16 * MIB, 11);
  await bothApplied(trio);
  const names = async (): Promise<string[]> =>
    (await a.control.status(['vm1'])).resources[0]?.targets.map(({ name }) => name) ?? [];

  trio.rewrite({ config, withC: false });
  await a.ask('reload');
  assert.deepEqual(await names(), ['b', 'c'], 'a role keeps its targets');
  await a.ask('role', 'init', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  assert.deepEqual(await names(), ['b']);
  const { points } = await a.control.points('vm1');
  assert.ok(
    points.some(({ target: name }) => name === 'c'),
    'its point is remembered',
  );
  await write(a, 16 * MIB, MIB, 12);
  assert.equal((await sync(a))['b']?.outcome, 'applied');
  assertSameImages(a.image, b.image);

  trio.rewrite({ config });
  await a.ask('reload');
  await a.ask('role', 'init', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  assert.deepEqual(await names(), ['b', 'c']);
  await until('c is there', async () => (await target(a, 'c')).link === 'up');
  const before = toC.bytes.up;
  assert.equal((await sync(a))['c']?.outcome, 'applied');
  assert.ok(toC.bytes.up - before < 2 * MIB, `${toC.bytes.up - before} bytes for 1 MiB`);
  assertSameImages(a.image, c.image);
});

test('a replica changed behind its back is found out, and mended by a round', async (t) => {
  const trio = await started(t);
  const { a, b } = trio;
  assert.equal(await b.kill('SIGTERM'), 0);
  const disk = openSync(b.image, 'r+');
  for (const offset of [MIB + 100, 3 * MIB])
    writeSync(disk, Buffer.alloc(1000, 0x5a), 0, 1000, offset);
  closeSync(disk);
  await b.hastd();
  if ((await b.control.status(['vm1'])).resources[0]?.role !== 'secondary') {
    await b.ask('role', 'secondary', 'vm1');
  }
  await until('b is there', async () => (await target(a, 'b')).link === 'up');
  // Nothing is dirty on a: b gets what it doubts all the same.
  await until('b took a round', async () => (await sync(a))['b']?.outcome === 'applied');
  assertSameImages(a.image, b.image);
  assert.equal((await target(a, 'b')).driftChunks, 2, 'counted on the primary');
  await until('nobody doubts it any more', async () => (await target(a, 'b')).data === 'clean');
  assert.equal((await sync(a))['b']?.outcome, 'nothing');
});
