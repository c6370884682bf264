// Disks that fail, as an operator and a guest meet them (H18, H20, H21, H27, H28): real hastd on a
// disk that gives real errors, hastctl for what is said of it, NBD clients for what a guest is
// told. Disks that answer nothing: disk-hangs.test.ts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { PointRecord } from '../../src/control/api.js';
import { needTool } from '../real.js';
import { BadGuest, check, EIO, overwriteBehind, startBadPair, statusOf, sync } from './bad-pair.js';
import { BAD, BLOCK, CHUNK, count, KIB, nowMs, SECTOR } from './bad-places.js';
import { assertSameImages, holds, MIB, qemuIo, succeed } from './images.js';
import type { RealNode } from './nodes.js';
import { listen, targetOf, until } from './steps.js';

async function newestPoint(node: RealNode): Promise<PointRecord> {
  const { points } = (await node.ask('points', 'vm1')) as { points: PointRecord[] };
  return points.reduce((one, other) => (other.number > one.number ? other : one));
}

test('a dirty sector cannot be read: the point says what it lacks (H21)', async (t) => {
  if (!needTool(t, 'qemu-io', 'nbdinfo')) return;
  const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'block' });
  if (pair === null) return;
  const { a, b, disk } = pair;
  await qemuIo(a.nbdUri, 'write -P 3 0 1M', 'flush');
  await sync(a);
  await qemuIo(a.nbdUri, `write -P 7 ${CHUNK} ${2 * CHUNK}`, 'flush');
  disk.failReads(SECTOR);
  await sync(a);
  assert.ok(holds(b.image, 7, CHUNK, 5 * BLOCK), 'what could be read has come');
  assert.ok(holds(b.image, 7, BAD + BLOCK, 2 * CHUNK - 6 * BLOCK));
  assert.ok(holds(b.image, 3, BAD, BLOCK), 'the block that could not has its older content');
  for (const node of [a, b]) {
    assert.equal((await newestPoint(node)).consistency, 'damaged', node.name);
    assert.match(await check(node, 2), /damaged: 1 chunks of the last point could not be read/);
  }
  assert.match((await a.ctl('points', 'vm1')).stdout, /^vm1@2 .* DAMAGED .*\n *DAMAGED: blocks/m);
  assert.match((await a.ctl('status', 'vm1')).stdout, /4\.0 KiB dirty; .*1 chunk damaged/);
  const map = await succeed('nbdinfo', '--map=qemu:dirty-bitmap:b', a.nbdUri);
  const dirty = map.stdout.split('\n').filter((line) => line.endsWith('dirty'));
  assert.deepEqual(
    dirty.map((line) => line.trim().split(/\s+/)),
    [[String(BAD), String(BLOCK), '1', 'dirty']],
    'exactly that block stays dirty',
  );

  await qemuIo(a.nbdUri, `write -P 9 ${BAD} ${BLOCK}`, 'flush');
  disk.failReads(null); // written again, a sector reads again
  await sync(a);
  assertSameImages(disk.backing, b.image);
  for (const node of [a, b]) {
    assert.equal((await newestPoint(node)).consistency, 'crash', node.name);
    await check(node, 0);
  }
});

test('a clean block cannot be read: the guest gets it from the replica (H20)', async (t) => {
  const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'file' });
  if (pair === null) return;
  const { a, b, disk } = pair;
  const [guest, second] = [await BadGuest.open(t, a), await BadGuest.open(t, a)];
  await guest.put(0, 512 * KIB, 3);
  await sync(a);
  const said = listen(a);
  overwriteBehind(disk.backing, SECTOR.offset, Buffer.alloc(SECTOR.length, 0xee));
  disk.failReads(SECTOR);
  await guest.expect(0, 256 * KIB, 3);
  await until('it is written back', async () => holds(disk.backing, 3, 0, 512 * KIB));
  disk.failReads(null); // written again, a sector reads again
  await guest.expect(0, 256 * KIB, 3);
  const { counters } = await statusOf(a);
  assert.deepEqual([counters?.repairedBlocks, counters?.readErrors], [1, 0]);
  assert.equal(count(said.news(), 'was fetched from the target'), 1, 'logged once');
  assert.match(await check(a, 1), /1 unreadable blocks of the local disk were got back/);
  assert.equal((await targetOf(a)).dirtyBytes, 0, 'a repair marks nothing');

  await guest.put(BAD, BLOCK, 5);
  disk.failReads(SECTOR);
  assert.equal(await guest.read(BAD, BLOCK), EIO, 'dirty: what the replica has is older');
  assert.equal(await guest.read(0, 2 * CHUNK), EIO, 'and so is a read that meets it');
  await guest.expect(BAD + BLOCK, BLOCK, 3);
  assert.match(await check(a, 2), /errors of the local disk: read 2, write 0/);
  disk.failReads(null);
  await guest.expect(BAD, BLOCK, 5);
  await sync(a);

  // The replica is there and says nothing.
  disk.failReads(SECTOR);
  process.kill(b.pid ?? 0, 'SIGSTOP'); // SIGKILL ends it all the same
  const startMs = nowMs();
  let answered = false;
  const failing = guest.read(BAD, BLOCK).finally(() => {
    answered = true;
  });
  for (const turn of [1, 2, 3]) {
    const turnMs = nowMs();
    await second.put(MIB, CHUNK, turn);
    await second.expect(MIB, CHUNK, turn);
    assert.ok(nowMs() - turnMs < 2000, 'other guests are served');
  }
  assert.ok(!answered, 'meanwhile');
  assert.equal(await failing, EIO);
  const tookMs = nowMs() - startMs;
  assert.ok(tookMs > 4000 && tookMs < 7500, `after five seconds: ${tookMs}`);
  // And not there at all.
  process.kill(b.pid ?? 0, 'SIGCONT');
  await b.kill('SIGKILL');
  await until('the link is down', async () => (await targetOf(a)).link === 'down');
  disk.dropCache();
  const downMs = nowMs();
  assert.equal(await guest.read(BAD, BLOCK), EIO);
  assert.ok(nowMs() - downMs < 1000, 'nobody is waited for');
});

test('an fdatasync fails: nothing is believed until a restart (H18)', async (t) => {
  const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'block' });
  if (pair === null) return;
  const { a, b, disk } = pair;
  const [guest, second] = [await BadGuest.open(t, a), await BadGuest.open(t, a)];
  await guest.put(0, 512 * KIB, 3);
  await sync(a);
  disk.failWrites({ offset: BAD, length: BLOCK });
  assert.equal(await guest.write(CHUNK, 2 * CHUNK, 7), 0, 'the page cache takes it');
  assert.equal(await guest.flush(), EIO);
  disk.failWrites(null);
  assert.equal(await second.flush(), EIO, 'on every connection');
  assert.equal(await second.write(MIB, BLOCK, 8), 0);
  assert.equal(await guest.flush(), EIO, 'the kernel would say that all is well');
  await guest.expect(CHUNK, 2 * CHUNK, 7); // and shows what the medium does not have
  assert.equal(holds(disk.backing, 7, BAD, BLOCK), false);
  const line = await check(a, 2);
  assert.match(line, /vm1 disk: an fdatasync of the local disk failed/);
  assert.match(line, /vm1 b suspect/);
  assert.match((await a.ctl('status')).stdout, /^vm1 +failed +primary/m);
  for (const turn of [1, 2]) {
    const refused = await a.ctl('sync', '--wait', 'vm1');
    assert.equal(refused.status, 6, `turn ${turn}`);
    assert.match(refused.stdout, /an fdatasync of the local disk has failed .* restart hastd/);
    assert.equal((await targetOf(a)).dirtyBytes, 2 * CHUNK + BLOCK, 'nothing is dropped');
  }
  assert.ok(holds(b.image, 3, 0, 512 * KIB), 'and nothing was sent');

  const said = listen(a);
  assert.equal(await a.kill('SIGTERM'), 0);
  await a.hastd();
  const compared = await said.line(/what was in doubt is settled/);
  assert.match(compared, /"readBytes":2097152/, 'every chunk');
  await sync(a);
  assertSameImages(disk.backing, b.image);
  const later = await BadGuest.open(t, a);
  const read = await later.read(0, 2 * MIB);
  assert.ok(readFileSync(disk.backing).equals(read as Buffer), 'the guest sees the medium too');
  await later.put(BAD, BLOCK, 9);
  await sync(a);
  await check(a, 0);
  assertSameImages(disk.backing, b.image);
});

test('the replica cannot read a sector of its disk', async (t) => {
  const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'file', of: 'b' });
  if (pair === null) return;
  const { a, b, disk } = pair;
  const guest = await BadGuest.open(t, a);
  await guest.put(0, 512 * KIB, 3);
  await sync(a);
  disk.failReads(SECTOR);
  const verified = await a.ctl('verify', '--deep', 'vm1');
  assert.equal(verified.status, 6);
  assert.match(verified.stderr, /target b: .*\/b\.img: read at byte \d+ failed: EIO/);
  await guest.put(MIB, CHUNK, 6);
  await sync(a);
  assert.ok(holds(disk.backing, 6, MIB, CHUNK), 'other chunks are replicated as before');

  await t.test('a part of its chunk is sent: all is wanted (H28)', async () => {
    await guest.put(CHUNK, BLOCK, 4);
    const { status, stdout } = await a.ctl('sync', '--wait', 'vm1');
    assert.ok(status === 0 || /EIO/.test(stdout), `nobody says what is wrong: ${stdout}`);
  });

  // All of it: committed, and then the undo cannot have the old content.
  await until('it is connected', async () => (await targetOf(a)).link === 'up');
  await guest.put(CHUNK, CHUNK, 5);
  const applied = await a.ctl('sync', '--wait', 'vm1');
  await t.test('the apply goes on without its old content (H27)', () => {
    assert.equal(applied.status, 0, applied.stdout);
  });
  await t.test('if not, the primary does not call that clean', async () => {
    if (applied.status !== 0) await check(a, 2);
  });
  if (applied.status !== 0) {
    assert.match(applied.stdout, /apply-failed.*\/b\.img: read at byte 65536 failed: EIO/);
    assert.match(await check(b, 2), /a committed point could not be written to the disk/);
  }
  disk.failReads(null);
  await b.kill('SIGTERM');
  await b.hastd();
  await until('it is connected again', async () => (await targetOf(a)).link === 'up');
  await guest.put(0, BLOCK, 7);
  await sync(a);
  assertSameImages(a.image, disk.backing);
  await check(a, 0);
  await check(b, 0);
});
