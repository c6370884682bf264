// Rounds over links that break and through the end of either side (D3, H31): what was acknowledged
// is not sent again, what is sent again is counted, and a copy is equal in the end. Bytes are
// counted at a proxy, which does not believe what the daemon says of itself.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RoundRecord, TargetStatus } from '../../src/control/api.js';
import { assertSameImages, MIB } from './images.js';
import type { RealNode } from './nodes.js';
import { startTrio, type Trio } from './trio.js';
import { never, target, until, write } from './trio-steps.js';

const SIZE = 48 * MIB;
const CONTENT = 16 * MIB;
const TIMEOUT = 'timeout 5s';

const targetB = (node: RealNode): Promise<TargetStatus> => target(node, 'b');

/** A round of b that must come out, within some tries while nodes come back. */
async function roundOfB(trio: Trio, tries = 1): Promise<RoundRecord> {
  const { a } = trio;
  for (let left = tries; ; left -= 1) {
    const { outcomes } = await a.control.sync('vm1', { wait: 'applied' }, never());
    const ofB = outcomes.find(({ target }) => target === 'b');
    if (ofB?.outcome === 'applied') break;
    assert.ok(left > 1, `${ofB?.text}\n${a.log().slice(-4000)}`);
    await sleep(500);
  }
  return lastOfB(a);
}

async function lastOfB(a: RealNode): Promise<RoundRecord> {
  const found = (await a.control.rounds('vm1')).rounds.findLast(({ target }) => target === 'b');
  assert.ok(found);
  return found;
}

/** A first copy of nearly nothing; from then on b is behind a slow link. */
async function started(t: TestContext, bytesPerSecond: number): Promise<Trio> {
  const trio = await startTrio(t, { sizeBytes: SIZE, config: `interval 1h  ${TIMEOUT}` });
  await roundOfB(trio);
  trio.toB.bytesPerSecond = bytesPerSecond;
  return trio;
}

/** Starts a round of all targets; resolves when b has acknowledged some of it. */
async function roundUnderWay(trio: Trio, upBytes: number): Promise<void> {
  const { a, toB } = trio;
  const before = toB.bytes.up;
  await a.control.sync('vm1', { wait: null }, never());
  await until('some of it is over', async () => toB.bytes.up - before > upBytes);
}

async function backAs(node: RealNode, role: 'primary' | 'secondary'): Promise<void> {
  await node.hastd();
  await sleep(500);
  if ((await node.control.status(['vm1'])).resources[0]?.role === role) return;
  const alone = role === 'primary' ? ['--alone'] : [];
  await node.ask('role', role, 'vm1', ...alone);
}

/** Who was killed comes back, the link is fast again: the next round reuses what was staged. */
async function takenOver(t: TestContext, trio: Trio, back: () => Promise<void>): Promise<void> {
  const { a, b, toB } = trio;
  const before = toB.bytes.up;
  await back();
  toB.bytesPerSecond = null;
  const record = await roundOfB(trio, 20);
  const passed = toB.bytes.up - before;
  t.diagnostic(`reused ${record.reusedBytes}, passed ${passed}, of ${CONTENT}`);
  assert.ok(record.reusedBytes > CONTENT * 0.4, `${record.reusedBytes} reused`);
  assert.ok(passed < CONTENT * 0.6, `${passed} bytes for the rest`);
  assertSameImages(a.image, b.image);
}

test('a link that is cut every two seconds: it goes on, and sent again is counted', async (t) => {
  const trio = await started(t, 2 * MIB);
  const { a, b, toB } = trio;
  await write(a, 0, CONTENT, 1);
  const before = toB.bytes.up;
  const connections = toB.connections;
  let over = false;
  const cutting = (async () => {
    while (!over) {
      await sleep(2000);
      if (!over) toB.cut();
    }
  })();
  const record = await roundOfB(trio);
  over = true;
  await cutting;
  assert.ok(toB.connections - connections >= 3, `${toB.connections - connections} connections`);
  assert.ok(record.resentBytes > 0, 'what was under way is sent again, and said');
  assert.equal(record.reusedBytes, 0, 'one round, gone on with');
  assert.ok(record.wireUpBytes >= CONTENT);
  const passed = toB.bytes.up - before;
  t.diagnostic(`passed ${passed}, sent again ${record.resentBytes}, of ${CONTENT}`);
  assert.ok(passed < CONTENT * 2, `${passed} bytes for ${CONTENT}`);
  assertSameImages(a.image, b.image);
  const after = await targetB(a);
  assert.equal(after.failedRounds, 0);
});

test('kill -9 of the replica in a round: the next one takes over what was staged', async (t) => {
  const trio = await started(t, 2 * MIB);
  const { a, b } = trio;
  await write(a, 0, CONTENT, 2);
  await roundUnderWay(trio, CONTENT * 0.7);
  await b.kill('SIGKILL');
  await until('the round is given up', async () => (await targetB(a)).round === null);
  assert.equal((await lastOfB(a)).outcome, 'unknown', 'nobody can say what became of it');
  assert.ok((await targetB(a)).failedRounds > 0);
  await takenOver(t, trio, () => backAs(b, 'secondary'));
  assert.equal((await targetB(a)).failedRounds, 0);
});

test('the replica is back within the timeout: the same round goes on', async (t) => {
  const trio = await started(t, 2 * MIB);
  const { a, b } = trio;
  await write(a, 0, CONTENT, 3);
  await roundUnderWay(trio, CONTENT * 0.4);
  const { nextPoint } = { nextPoint: (await targetB(a)).lastPoint?.number ?? 0 };
  await b.kill('SIGKILL');
  await backAs(b, 'secondary');
  await until('the round is over', async () => (await targetB(a)).round === null);
  const record = await lastOfB(a);
  if (record.outcome !== 'committed') await roundOfB(trio, 20);
  assertSameImages(a.image, b.image);
  assert.ok(((await targetB(a)).lastPoint?.number ?? 0) > nextPoint);
});

test('kill -9 of the primary in a round: its next one takes over what was staged', async (t) => {
  const trio = await started(t, 2 * MIB);
  const { a } = trio;
  await write(a, 0, CONTENT, 4);
  await roundUnderWay(trio, CONTENT * 0.7);
  await a.kill('SIGKILL');
  await takenOver(t, trio, () => backAs(a, 'primary'));
});

test('a first copy over a link that is cut: it goes on where it was', async (t) => {
  const trio = await startTrio(t, { sizeBytes: SIZE, config: `interval 1h  ${TIMEOUT}` });
  const { a, b, toB } = trio;
  toB.bytesPerSecond = 2 * MIB;
  await write(a, 0, CONTENT, 5);
  const before = toB.bytes.up;
  let over = false;
  const cutting = (async () => {
    while (!over) {
      await sleep(3000);
      if (!over) toB.cut();
    }
  })();
  await roundOfB(trio);
  over = true;
  await cutting;
  const passed = toB.bytes.up - before;
  t.diagnostic(`passed ${passed} of ${CONTENT}`);
  assert.ok(passed < CONTENT * 2, `${passed} bytes for ${CONTENT}`);
  assertSameImages(a.image, b.image);
});
