// Ends of hastd, in good order and not. SIGTERM while a guest writes with all it has: status 0
// within the time limit, the clean mark, and an exact map at the next start. H8: that mark is used
// once; after a crash the next start believes less.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, CMD } from '../nbd/client.js';
import { MIB } from './images.js';
import { type RealNode, startPair } from './nodes.js';
import { listen, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const DISK_BYTES = 256 * MIB;
const BLOCK = 4096;
const TIMEOUT_MS = 20_000;
const IN_FLIGHT = 32;

/** Writes block after block, many in flight, until the connection ends; tells how many were
 * answered, and how many were sent. Every third block: what is dirty is not whole chunks. */
async function heavyWrites(node: RealNode) {
  const client = await Client.open({ path: node.nbdSocket }, 'vm1');
  const counts = { sent: 0, answered: 0 };
  const payload = Buffer.alloc(BLOCK, 0x31);
  const waiting: bigint[] = [];
  const write = async (): Promise<void> => {
    for (let block = 0; block < DISK_BYTES / BLOCK; block += 3) {
      waiting.push(client.send({ type: CMD.WRITE, offset: block * BLOCK }, payload));
      counts.sent += 1;
      if (waiting.length < IN_FLIGHT) continue;
      const { error } = await client.reply(waiting.shift() ?? 0n);
      assert.equal(error, 0);
      counts.answered += 1;
    }
  };
  // The connection ends under it, as it is meant to.
  return { counts, ended: write().catch(() => undefined) };
}

async function writeBlocks(node: RealNode, blocks: readonly number[]): Promise<void> {
  const client = await Client.open({ path: node.nbdSocket }, 'vm1');
  for (const block of blocks) {
    await client.ask({ type: CMD.WRITE, offset: block * BLOCK }, Buffer.alloc(BLOCK, block + 1));
  }
  client.socket.destroy();
}

const EXTENTS = /extents in doubt after a crash of the daemon/;
const SETTLED = /what was in doubt is settled/;
const COMPARED = /everything is compared/;

test('SIGTERM during heavy writes: a clean end, and an exact map afterwards', async (t) => {
  const pair = await startPair(t, { sizeBytes: DISK_BYTES });
  const { a } = pair;
  await round(a);
  const writes = await heavyWrites(a);
  await until('the guest is busy', async () => writes.counts.answered > 2000);
  const startMs = performance.now();
  assert.equal(await a.kill('SIGTERM'), 0);
  const tookMs = performance.now() - startMs;
  assert.ok(tookMs < TIMEOUT_MS, `it took ${Math.round(tookMs)} ms`);
  await writes.ended;
  const { sent, answered } = writes.counts;
  assert.ok(answered < DISK_BYTES / BLOCK / 3, 'the guest was in the middle of it');
  const pidfile = join(pair.folder, 'a.pid');
  assert.ok(!existsSync(pidfile) || readFileSync(pidfile, 'utf8') === '', 'no pid file stays');

  const log = listen(a);
  await a.hastd();
  await takeRole(a, 'primary');
  assert.doesNotMatch(log.news(), EXTENTS);
  assert.doesNotMatch(log.news(), COMPARED);
  assert.doesNotMatch(log.news(), SETTLED);
  const { dirtyBytes, data } = await targetOf(a);
  assert.equal(data, 'dirty');
  // Exact: what was answered is dirty, what was never sent is not.
  assert.ok(dirtyBytes >= answered * BLOCK, `${dirtyBytes} for ${answered} answered blocks`);
  assert.ok(dirtyBytes <= sent * BLOCK, `${dirtyBytes} for ${sent} blocks sent`);
  await nothingLost(pair);
  const { rounds } = await a.control.rounds('vm1');
  assert.equal(rounds.at(-1)?.dirtyBytes, dirtyBytes);
  assert.ok((rounds.at(-1)?.readBytes ?? 0) < DISK_BYTES, 'no settle pass, no whole compare');
});

test('H8: the mark of a clean end serves one start only', async (t) => {
  const pair = await startPair(t, { sizeBytes: DISK_BYTES });
  const { a } = pair;
  await round(a);
  await writeBlocks(a, [1, 2, 3]);
  assert.equal(await a.kill('SIGTERM'), 0);
  const first = listen(a);
  await a.hastd();
  await takeRole(a, 'primary');
  assert.equal((await targetOf(a)).dirtyBytes, 3 * BLOCK, 'exact after a clean end');
  assert.doesNotMatch(first.news(), EXTENTS);
  await writeBlocks(a, [5000, 20_000]);
  assert.equal(await a.kill('SIGKILL'), null);

  const second = listen(a);
  await a.hastd();
  await takeRole(a, 'primary');
  await second.line(EXTENTS);
  await second.line(SETTLED);
  await until('settled', async () => (await targetOf(a)).work === 'idle');
  const { dirtyBytes } = await targetOf(a);
  assert.ok(dirtyBytes >= 5 * BLOCK, 'what was written after the clean mark is known as dirty');
  await nothingLost(pair);
  // And the other way round: a clean end after the crash is exact again.
  await writeBlocks(a, [70]);
  assert.equal(await a.kill('SIGTERM'), 0);
  const third = listen(a);
  await a.hastd();
  await takeRole(a, 'primary');
  assert.equal((await targetOf(a)).dirtyBytes, BLOCK);
  assert.doesNotMatch(third.news(), EXTENTS);
  await nothingLost(pair);
});
