// Disks that hang (H19, H20), and the background pass over one that changed without a mark (H11,
// H22): real hastd, its neighbours served meanwhile. Both mostly wait, so all run at once.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.js';
import { needPageCache } from '../disk/cache-pages.js';
import { needTool } from '../real.js';
import {
  BadGuest,
  bytesAt,
  check,
  diskOfNeighbour,
  overwriteBehind,
  startBadPair,
  statusOf,
  sync,
} from './bad-pair.js';
import { BAD, BLOCK, CHUNK, count, nowMs, SECTOR } from './bad-places.js';
import { assertSameImages, MIB, succeed } from './images.js';
import { startPair } from './nodes.js';
import { listen, targetOf, until } from './steps.js';

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
