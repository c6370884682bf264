// The bindings one by one against the real kernel, in this thread and in a worker thread.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { MIB } from '../../src/base/units.js';
import {
  blockDeviceSize,
  closeFd,
  dupFd,
  ERRNO,
  errnoName,
  FALLOC,
  fallocate,
  flockExclusive,
  flockRelease,
  flockShared,
  ofdHolder,
  ofdReadLock,
  ofdUnlock,
  posixFadviseDontNeed,
  preadCached,
  reserveSpace,
  seekData,
  setSocketBuffers,
} from '../../src/disk/syscalls.js';
import { needRoot, needTool, scratch } from '../real.js';
import { holdWithQemu, loopDevice } from './processes.js';

const EVICTIONS_MAX = 100;

function openNew(t: TestContext, sizeBytes = MIB): { path: string; fd: number } {
  const path = join(scratch(t), 'file');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, sizeBytes);
  t.after(() => closeSync(fd));
  return { path, fd };
}

const failure = (call: string, errno: string) => ({
  fault: { code: 'SYSCALL_FAILED', call, fd: 99_999, errno },
});

test('a copied descriptor is the same open file, closed on exec', (t) => {
  const { fd } = openNew(t);
  const copy = dupFd(fd);
  assert.notEqual(copy, fd);
  assert.equal(fstatSync(copy).ino, fstatSync(fd).ino);
  const flags = readFileSync(`/proc/self/fdinfo/${copy}`, 'latin1').match(/flags:\s*0*(\d+)/)?.[1];
  assert.ok((Number.parseInt(flags ?? '0', 8) & 0o2000000) !== 0, 'O_CLOEXEC');
  closeFd(copy);
  assert.throws(() => fstatSync(copy), { code: 'EBADF' });
  assert.equal(fstatSync(fd).size, MIB, 'the first stays open');
  assert.throws(() => closeFd(99_999), failure('close', 'EBADF'));
  assert.throws(() => dupFd(99_999), failure('dup', 'EBADF'));
});

test('flock: exclusive keeps all out, shared keeps the exclusive out', (t) => {
  const { path, fd } = openNew(t);
  const other = openSync(path, 'r+');
  assert.equal(flockExclusive(fd), true);
  assert.equal(flockExclusive(other), false);
  assert.equal(flockShared(other), false);
  flockRelease(fd);
  assert.equal(flockShared(other), true);
  assert.equal(flockShared(fd), true);
  assert.equal(flockExclusive(fd), false);
  closeSync(other);
  assert.equal(flockExclusive(fd), true, 'closing releases');
  assert.throws(() => flockExclusive(99_999), failure('flock', 'EBADF'));
});

test('OFD locks: of the open file, by the byte, also far out', (t) => {
  const { path, fd } = openNew(t);
  const other = openSync(path, 'r+');
  const far = 2 ** 40 + 7;
  assert.equal(ofdReadLock(fd, 100, 2), true);
  assert.equal(ofdReadLock(fd, far, 1), true);
  assert.equal(ofdReadLock(other, 101, 1), true, 'read locks share');
  assert.equal(ofdHolder(other, 100, 1, 'read'), null);
  assert.deepEqual(ofdHolder(other, 100, 1, 'write'), { pid: null, offset: 100 });
  assert.deepEqual(ofdHolder(other, far - 5, 10, 'write'), { pid: null, offset: far });
  assert.equal(ofdHolder(fd, 100, 1, 'write'), null, 'the own lock is no hindrance');
  assert.equal(ofdHolder(other, 102, 1000, 'write'), null);
  ofdUnlock(fd, 100, 2);
  assert.equal(ofdHolder(other, 100, 1, 'write'), null);
  closeSync(other);
  assert.throws(() => ofdReadLock(99_999, 0, 1), failure('fcntl(F_OFD_SETLK)', 'EBADF'));
  assert.throws(() => ofdHolder(99_999, 0, 1, 'write'), failure('fcntl(F_OFD_GETLK)', 'EBADF'));
});

test("a POSIX lock of another process is reported with its pid, QEMU's without", async (t) => {
  const { path, fd } = openNew(t);
  if (!needTool(t, 'qemu-nbd', 'python3')) return;
  const program = `import fcntl,sys
f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX,10,5)
print(flush=True); sys.stdin.read()`;
  const child = spawn('python3', ['-c', program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  assert.deepEqual(ofdHolder(fd, 0, 100, 'read'), { pid: child.pid, offset: 5 });
  assert.equal(ofdReadLock(fd, 5, 1), false);
  assert.equal(ofdReadLock(fd, 15, 1), true);
  child.stdin.end();
  await new Promise((resolve) => child.once('close', resolve));
  await holdWithQemu(t, path, `${path}.sock`);
  assert.deepEqual(ofdHolder(fd, 101, 1, 'write'), { pid: null, offset: 100 });
});

test('fallocate: space without size, holes, and errno as the result', (t) => {
  const { path, fd } = openNew(t, 0);
  reserveSpace(fd, 2 * MIB);
  assert.equal(fstatSync(fd).size, 0);
  assert.ok(fstatSync(fd).blocks * 512 >= 2 * MIB);
  writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, 0);
  assert.equal(fallocate(fd, FALLOC.PUNCH_HOLE | FALLOC.KEEP_SIZE, 4096, 8192), 0);
  const content = readFileSync(path);
  assert.equal(content.indexOf(0), 4096);
  assert.equal(content.indexOf(1, 4096), 4096 + 8192);
  assert.equal(fallocate(fd, FALLOC.PUNCH_HOLE, 0, 4096), ERRNO.EOPNOTSUPP, 'needs KEEP_SIZE');
  assert.equal(fallocate(fd, FALLOC.KEEP_SIZE, 0, 0), ERRNO.EINVAL);
  assert.equal(errnoName(fallocate(99_999, FALLOC.KEEP_SIZE, 0, 1)), 'EBADF');
  assert.throws(() => reserveSpace(99_999, MIB), failure('fallocate', 'EBADF'));
});

test('preadCached: every kind of buffer, at the right place, and the short end', (t) => {
  const { fd } = openNew(t, 0);
  const bytes = Buffer.alloc(100_000).map((_, index) => (index * 7) % 251);
  writeSync(fd, bytes);
  const first = preadCached(fd, new Uint8Array(1), 0);
  if (first === 'unsupported') return t.skip('no RWF_NOWAIT in the temporary folder');
  const shared = new SharedArrayBuffer(20_000);
  const views: Uint8Array[] = [
    Buffer.alloc(5000),
    Buffer.allocUnsafe(100), // from the pool, at some offset
    new Uint8Array(7), // small enough to lie in the moving heap
    new Uint8Array(shared, 1234, 9999),
    Buffer.from(shared, 3, 77),
    new Uint8Array(new ArrayBuffer(8000), 4001, 3999),
  ];
  for (let turn = 0; turn < 50; turn += 1) {
    for (const view of views) {
      const offset = (turn * 977) % 90_000;
      view.fill(0xff);
      assert.equal(preadCached(fd, view, offset), view.length);
      assert.ok(Buffer.compare(view, bytes.subarray(offset, offset + view.length)) === 0);
    }
  }
  assert.equal(preadCached(fd, new Uint8Array(100), 99_990), 10);
  assert.equal(preadCached(fd, new Uint8Array(100), 100_000), 0);
  assert.equal(preadCached(fd, new Uint8Array(0), 5), 0);
  assert.equal(preadCached(99_999, new Uint8Array(10), 0), 'miss', 'the next read names it');
});

test('preadCached: evicted pages are a miss and the buffer stays as it was', (t) => {
  const { fd } = openNew(t, 0);
  writeSync(fd, Buffer.alloc(MIB, 0x42));
  const into = Buffer.alloc(4096, 0xee);
  if (preadCached(fd, into, 0) === 'unsupported') return t.skip('no RWF_NOWAIT here');
  fsyncSync(fd); // only clean pages are dropped
  let found: ReturnType<typeof preadCached> = 0;
  // The kernel leaves a page that somebody holds just then, as who ages pages does.
  for (let tries = 0; tries < EVICTIONS_MAX && found !== 'miss'; tries += 1) {
    assert.equal(posixFadviseDontNeed(fd, 0, 0), 0);
    into.fill(0xee);
    found = preadCached(fd, into, 512 * 1024);
  }
  assert.equal(found, 'miss');
  assert.ok(into.every((byte) => byte === 0xee));
  readSync(fd, into, 0, 4096, 512 * 1024);
  assert.equal(preadCached(fd, into, 512 * 1024), 4096);
});

test('seekData: data, holes, the end, far out', (t) => {
  const { fd } = openNew(t, 2 ** 40);
  assert.equal(seekData(fd, 0), null, 'nothing but a hole');
  writeSync(fd, Buffer.alloc(4096, 1), 0, 4096, 2 ** 35);
  assert.equal(seekData(fd, 0), 2 ** 35);
  assert.equal(seekData(fd, 2 ** 35 + 100), 2 ** 35 + 100);
  assert.equal(seekData(fd, 2 ** 35 + 4096), null);
  assert.equal(seekData(fd, 2 ** 41), null, 'beyond the end');
  assert.throws(() => seekData(99_999, 0), failure('lseek(SEEK_DATA)', 'EBADF'));
});

test('blockDeviceSize: of a device, and ENOTTY for a file', (t) => {
  const { path, fd } = openNew(t, 5 * MIB + 512);
  assert.throws(() => blockDeviceSize(fd), {
    fault: { code: 'SYSCALL_FAILED', call: 'ioctl(BLKGETSIZE64)', fd, errno: 'ENOTTY' },
  });
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const device = openSync(loopDevice(t, path), 'r');
  assert.equal(blockDeviceSize(device), 5 * MIB + 512);
  closeSync(device);
});

test('socket buffers of a descriptor are set, both ways', async (t) => {
  const { fd } = openNew(t);
  const fault = { code: 'SYSCALL_FAILED', call: 'setsockopt', fd, errno: 'ENOTSOCK' };
  assert.throws(() => setSocketBuffers(fd, MIB), { fault });
  const socketsOpen = () =>
    readdirSync('/proc/self/fd').filter((name) => {
      try {
        return readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:');
      } catch {
        return false; // the descriptor of the listing itself
      }
    });
  const before = socketsOpen();
  const socket = createSocket('udp4');
  await new Promise<void>((done) => socket.bind(0, '127.0.0.1', done));
  const opened = socketsOpen().filter((name) => !before.includes(name));
  assert.equal(opened.length, 1);
  setSocketBuffers(Number(opened[0]), 50_000);
  // The kernel doubles the figure for its own needs (socket(7)).
  assert.equal(socket.getSendBufferSize(), 100_000);
  assert.equal(socket.getRecvBufferSize(), 100_000);
  await new Promise<void>((done) => socket.close(() => done()));
});

test('worker threads load the bindings for themselves', async (t) => {
  const { fd } = openNew(t, 0);
  writeSync(fd, Buffer.from('seen by the worker'));
  const shared = new SharedArrayBuffer(64);
  const source = `
    import { workerData, parentPort } from 'node:worker_threads';
    const { preadCached, dupFd, closeFd } = await import(workerData.module);
    const { readSync } = await import('node:fs');
    const into = new Uint8Array(workerData.shared, 8, 18);
    const got = preadCached(workerData.fd, into, 0);
    if (got === 'unsupported') readSync(workerData.fd, into, 0, 18, 0);
    closeFd(dupFd(workerData.fd));
    parentPort.postMessage(got);`;
  const module = new URL('../../src/disk/syscalls.js', import.meta.url).href;
  const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  const run = () =>
    new Promise((resolve, reject) => {
      const worker = new Worker(url, { workerData: { fd, shared, module } });
      worker.once('message', resolve).once('error', reject);
    });
  const results = await Promise.all([run(), run(), run()]);
  for (const got of results) assert.ok(got === 18 || got === 'unsupported', String(got));
  assert.equal(Buffer.from(shared, 8, 18).toString(), 'seen by the worker');
});
