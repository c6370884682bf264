// Disks that fail, as an operator and a guest meet them (H11, H18-H22, H28): real hastd on a disk
// that gives real errors, hastctl for what is said of it, NBD clients for what a guest is told.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import type { PointRecord } from '../../src/control/api.js';
import { needPageCache } from '../disk/cache-pages.js';
import { needTool } from '../real.js';
import {
  BadGuest,
  bytesAt,
  check,
  diskOfNeighbour,
  EIO,
  overwriteBehind,
  startBadPair,
  statusOf,
  sync,
} from './bad-pair.js';
import { assertSameImages, holds, MIB, qemuIo, succeed } from './images.js';
import { type RealNode, startPair } from './nodes.js';
import { listen, targetOf, until } from './steps.js';

const KIB = 1024;
const BLOCK = 4 * KIB;
const CHUNK = 64 * KIB;
/** A block of chunk 1, and a sector in it. */
const BAD = CHUNK + 5 * BLOCK;
const SECTOR = { offset: BAD + 512, length: 512 };

const nowMs = (): number => systemClock.monotonicMs();
const count = (text: string, part: string): number => text.split(part).length - 1;

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

const RESIDENT_PAGES = `
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
offset, length = int(sys.argv[2]), int(sys.argv[3])
with open(sys.argv[1], 'r+b') as file:
    at = libc.mmap(None, length, 1, 1, file.fileno(), offset)
    pages = (ctypes.c_ubyte * (length // 4096))()
    assert libc.mincore(at, length, pages) == 0
print(sum(page & 1 for page in pages))
`;
const FORGET_PAGES = `
import os, sys
file = os.open(sys.argv[1], os.O_RDWR)
os.fsync(file)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
`;

// At the same time, for they mostly wait.
describe('what takes long', { concurrency: true }, () => {
  test('a disk hangs: its neighbour does not notice; then all goes on (H19)', async (t) => {
    const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'file', neighbour: true });
    if (pair === null) return;
    const { a, b, disk } = pair;
    const [guest, near] = [await BadGuest.open(t, a), await BadGuest.open(t, a, 'vm2')];
    await guest.put(0, 2 * CHUNK, 3);
    await sync(a);
    const said = listen(a);
    const hungMs = systemClock.wallMs();
    disk.hang(true);
    const writing = guest.write(0, BLOCK, 4);
    await sleep(50); // it is in the system call
    let failed = false;
    const cutting = a.ctl('sync', '--wait', 'vm1').finally(() => {
      failed = true;
    });
    let alarmed = '';
    for (let turn = 1; !failed || alarmed === ''; turn += 1) {
      assert.ok(turn < 40, `alarm: ${alarmed || 'none'}; the cut gave up: ${failed}`);
      const startMs = nowMs();
      await near.put((turn % 16) * CHUNK, CHUNK, turn);
      await near.expect((turn % 16) * CHUNK, CHUNK, turn);
      assert.ok(nowMs() - startMs < 2000, 'the neighbour is served');
      const { outcomes } = await a.control.sync('vm2', { wait: 'applied' }, t.signal);
      assert.equal(outcomes[0]?.outcome, 'applied', 'and replicated');
      if (alarmed === '' && (await statusOf(a)).hangsSince !== null) alarmed = await check(a, 2);
      await sleep(700);
    }
    assert.match(alarmed, /CRITICAL - vm1 disk: the local disk has answered nothing for \d+s/);
    const { hangsSince } = await statusOf(a);
    const lateMs = Date.parse(hangsSince ?? '') - hungMs;
    assert.ok(lateMs > -1000 && lateMs < 6000, `since when, within a ping: ${lateMs}`);
    assert.equal((await statusOf(a, 'vm2')).hangsSince, null);
    const cut = await cutting;
    assert.equal(cut.status, 6);
    assert.match(cut.stdout, /the gate did not close within \d+ s; is the local disk hanging/);
    assert.equal((await targetOf(a)).lastError?.code, 'ROUND_CUT_BUSY');

    disk.hang(false);
    assert.equal(await writing, 0, 'the write was only late');
    await until('it answers', async () => (await statusOf(a)).hangsSince === null);
    assert.equal(count(said.news(), 'a disk answers nothing'), 1);
    assert.equal(count(said.news(), 'a disk answers again'), 1);
    await sync(a);
    await check(a, 0);
    assertSameImages(disk.backing, b.image);
    assertSameImages(diskOfNeighbour(a), diskOfNeighbour(b));
  });

  test('SIGTERM while a disk hangs gives up in time, and nothing is lost (H19)', async (t) => {
    const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'block', neighbour: true });
    if (pair === null) return;
    const { a, b, disk } = pair;
    const other = openSync(disk.path, 'r'); // its last close would wait for the disk itself
    t.after(() => closeSync(other));
    const [guest, near] = [await BadGuest.open(t, a), await BadGuest.open(t, a, 'vm2')];
    await guest.put(0, 2 * CHUNK, 3);
    await near.put(0, 2 * CHUNK, 3);
    await sync(a);
    await guest.put(CHUNK, BLOCK, 4);
    disk.hang(true);
    const reading = guest.read(0, BLOCK).catch(() => null);
    await sleep(50); // it is in the system call
    const said = listen(a);
    const startMs = nowMs();
    const ending = a.kill('SIGTERM');
    await said.line(/"resource":"vm2","settled":"clean"/);
    await sleep(Math.max(0, startMs + 20_500 - nowMs()));
    assert.match(said.news(), /not everything ended in time; the next start compares/);
    assert.equal(existsSync(join(pair.folder, 'a.pid')), false);
    await t.test('the process is gone then', async () => {
      const late = sleep(2000, 'late', { ref: false });
      assert.equal(await Promise.race([ending, late]), 70);
    });
    disk.hang(false);
    assert.equal(await ending, 70);
    assert.equal(await reading, null, 'the connection was ended');
    await a.hastd();
    await sync(a);
    assertSameImages(disk.backing, b.image);
  });

  test('a disk hangs in a repair: nobody else waits for it (H19, H20)', async (t) => {
    const pair = await startBadPair(t, { sizeBytes: 2 * MIB, kind: 'file', neighbour: true });
    if (pair === null) return;
    const { a, b, disk } = pair;
    const [guest, near] = [await BadGuest.open(t, a), await BadGuest.open(t, a, 'vm2')];
    await guest.put(0, 2 * CHUNK, 3);
    await near.put(0, BLOCK, 3);
    await sync(a);
    disk.failReads(SECTOR);
    process.kill(b.pid ?? 0, 'SIGSTOP');
    const reading = guest.read(BAD, BLOCK);
    await sleep(500); // the replica is asked
    disk.hang(true);
    process.kill(b.pid ?? 0, 'SIGCONT');
    await near.put(0, BLOCK, 4);
    const inTime = <T>(work: Promise<T>) =>
      Promise.race([work, sleep(6000, 'late' as const, { ref: false })]);
    const answers = await Promise.all([
      inTime(reading),
      inTime(a.control.status(['vm2'])),
      inTime(a.control.sync('vm2', { wait: 'applied' }, t.signal)),
    ]);
    disk.hang(false);
    const late = answers.map((answer) => answer === 'late');
    assert.deepEqual(late, [false, false, false], 'guest, status and round of the neighbour');
  });

  test('the background pass finds a change that left no mark (H11); pages (H22)', async (t) => {
    if (!needTool(t, 'python3') || !needPageCache(t, tmpdir())) return;
    // As large as makes 100 % a day some chunks in the first seconds; almost all of it is a hole.
    const sizeBytes = 4096 * MIB;
    const chunksPerMs = sizeBytes / CHUNK / 86_400_000;
    const pair = await startPair(t, { sizeBytes, config: 'interval 1h  scrub 100%' });
    const { a, b } = pair;
    const resident = async (offset: number, length: number): Promise<number> => {
      const args = [a.image, String(offset), String(length)];
      return Number((await succeed('python3', '-c', RESIDENT_PAGES, ...args)).stdout);
    };
    // Of 256 pages some go by themselves where others use the machine: here 32 in ten seconds.
    const inCache = async () => {
      const [hot, cold] = [await resident(0, MIB), await resident(32 * MIB, MIB)];
      return hot > 128 && cold < 32 ? 'as the guest left it' : `${hot} hot, ${cold} cold`;
    };
    const guest = await BadGuest.open(t, a);
    await guest.put(0, MIB, 4);
    await guest.put(32 * MIB, MIB, 4);
    await succeed('python3', '-c', FORGET_PAGES, a.image);
    await guest.expect(0, MIB, 4); // hot, and dirty for the target
    assert.equal(await inCache(), 'as the guest left it', 'before the round');
    const startMs = nowMs(); // the pass begins when there is a point
    await sync(a);
    assert.equal(
      await inCache(),
      'as the guest left it',
      'only what the round brought in is dropped',
    );
    await check(a, 0);

    const said = listen(a);
    const ahead = (Math.ceil((nowMs() - startMs) * chunksPerMs) + 2) * CHUNK; // not looked at yet
    overwriteBehind(a.image, ahead + 1000, Buffer.alloc(100, 0xee));
    await said.line(/a chunk differs from its digest though nothing was written/);
    assert.equal((await targetOf(a)).dirtyBytes, CHUNK);
    await sync(a);
    const here = bytesAt(a.image, ahead, CHUNK);
    assert.equal(here[1000], 0xee);
    assert.ok(bytesAt(b.image, ahead, CHUNK).equals(here), 'replicated');
    assert.equal(await inCache(), 'as the guest left it', 'the pass reads past the cache');
    await until('it is counted', async () => (await targetOf(a)).untrackedChunks === 1);
    assert.match(await check(a, 1), /vm1 b untracked: 1 chunks had changed here without a mark/);
  });
});
