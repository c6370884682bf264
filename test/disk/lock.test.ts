// Locks of H11 with real neighbours, both ways round: we hold and they are refused, they hold and
// we are refused with their name. The table in src/disk/lock.ts is measured here again.
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { hasLockOn } from '../../src/disk/holders.js';
import { type LockOptions, openLocked } from '../../src/disk/lock.js';
import { dupFd } from '../../src/disk/syscalls.js';
import { needRoot, needTool, scratch } from '../real.js';
import {
  hasFlock,
  holdWithQemu,
  loopDevice,
  runProgram,
  startProgram,
  waitFor,
} from './processes.js';

const QEMU = ['qemu-io', 'qemu-img', 'qemu-nbd'];

async function newDisk(t: TestContext): Promise<{ folder: string; path: string }> {
  const folder = scratch(t);
  const path = join(folder, 'vm1.raw');
  await createSparseFile(path, 4 * MIB);
  return { folder, path };
}

function lockFor(t: TestContext, path: string, options: LockOptions = {}) {
  const locked = openLocked(path, options);
  t.after(() => locked.close());
  return locked;
}

const qemuWrite = (path: string) => runProgram('qemu-io', '-f', 'raw', '-c', 'write 0 4k', path);
const qemuRead = (path: string, ...more: string[]) =>
  runProgram('qemu-io', '-r', ...more, '-f', 'raw', '-c', 'read 0 4k', path);
const qemuConvert = (from: string, to: string) =>
  runProgram('qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'raw', from, to);

function assertRefused({ status, text }: { status: number; text: string }, what: string): void {
  assert.notEqual(status, 0, `${what} was let in: ${text}`);
  assert.match(text, /lock|another process/i, what);
}

test('while we hold a file, QEMU programs that write or read it are refused', async (t) => {
  if (!needTool(t, ...QEMU)) return;
  const { folder, path } = await newDisk(t);
  await createSparseFile(join(folder, 'other.raw'), 4 * MIB);
  const locked = openLocked(path);
  assert.deepEqual(locked.probe, { ...locked.probe, kind: 'file', sizeBytes: 4 * MIB });
  assertRefused(qemuWrite(path), 'qemu-io write');
  assertRefused(qemuRead(path), 'qemu-io -r');
  assertRefused(qemuRead(path, '-U'), 'qemu-io -r -U');
  assertRefused(qemuConvert(join(folder, 'other.raw'), path), 'convert onto it');
  assertRefused(qemuConvert(path, join(folder, 'other.raw')), 'convert from it');
  assertRefused(runProgram('qemu-img', 'resize', '-f', 'raw', path, '5M'), 'resize');
  assert.equal(runProgram('qemu-img', 'info', '-f', 'raw', path).status, 0, 'info takes no locks');
  assert.ok(
    readFileSync(path).every((byte) => byte === 0),
    'nothing was written',
  );
  locked.close();
  locked.close();
  assert.equal(qemuWrite(path).status, 0, 'and let in again afterwards');
});

test('while we only read a file, QEMU may read it and not write it', async (t) => {
  if (!needTool(t, ...QEMU)) return;
  const { path } = await newDisk(t);
  lockFor(t, path, { readOnly: true });
  lockFor(t, path, { readOnly: true });
  assertRefused(qemuWrite(path), 'qemu-io write');
  assert.equal(qemuRead(path).status, 0);
  assert.throws(() => openLocked(path), { fault: { code: 'DISK_IN_USE', path, holder: self() } });
});

for (const [title, more] of [
  ['writing', []],
  ['reading', ['-r']],
] as const) {
  test(`a qemu-nbd that is ${title} is found and named`, async (t) => {
    if (!needTool(t, ...QEMU)) return;
    const { folder, path } = await newDisk(t);
    const qemu = await holdWithQemu(t, path, join(folder, 'nbd.sock'), ...more);
    const holder = `qemu-nbd (pid ${qemu.pid})`;
    const fault = { code: 'DISK_IN_USE', path, holder };
    assert.throws(() => openLocked(path), { fault, message: /qemu-nbd.*stop it/ });
    if (title === 'writing') assert.throws(() => openLocked(path, { readOnly: true }), { fault });
    else openLocked(path, { readOnly: true }).close();
    await qemu.stop();
    openLocked(path).close();
  });
}

test('flock(1) is kept out, and found when it was first', async (t) => {
  if (!needTool(t, 'flock')) return;
  const { path } = await newDisk(t);
  const locked = openLocked(path);
  assert.notEqual(runProgram('flock', '-n', path, 'true').status, 0);
  locked.close();
  const program = startProgram(t, 'flock', '--no-fork', path, 'sleep', '60');
  await waitFor('flock', program.child, () => hasFlock(program.pid));
  const fault = { code: 'DISK_IN_USE', path, holder: `sleep (pid ${program.pid})` };
  assert.throws(() => openLocked(path), { fault });
  await program.stop();
  openLocked(path).close();
});

const self = () => `${readFileSync('/proc/self/comm', 'latin1').trim()} (pid ${process.pid})`;

test('the same disk twice in one process is refused too, and names us', async (t) => {
  const { path } = await newDisk(t);
  lockFor(t, path);
  const fault = { code: 'DISK_IN_USE', path, holder: self() };
  assert.throws(() => openLocked(path), { fault });
  assert.throws(() => openLocked(path, { readOnly: true }), { fault });
});

test('closing another descriptor of the file, or one in a thread, keeps the locks', async (t) => {
  if (!needTool(t, ...QEMU)) return;
  const { path } = await newDisk(t);
  const { fd } = lockFor(t, path);
  closeSync(openSync(path, 'r+')); // POSIX locks would be gone now
  closeSync(dupFd(fd));
  const code = `
    const fs = require('node:fs');
    const { workerData: { fd, path } } = require('node:worker_threads');
    fs.writeSync(fd, Buffer.from('thread'), 0, 6, 0);
    fs.closeSync(fs.openSync(path, 'r+'));`;
  const worker = new Worker(code, { eval: true, workerData: { fd, path } });
  const status = await new Promise((resolve) => worker.once('exit', resolve));
  assert.equal(status, 0);
  assert.equal(readFileSync(path).subarray(0, 6).toString(), 'thread');
  assertRefused(qemuWrite(path), 'qemu-io write');
});

test('a refused open leaves no descriptor and no lock behind', async (t) => {
  if (!needTool(t, ...QEMU)) return;
  const { folder, path } = await newDisk(t);
  const qemu = await holdWithQemu(t, path, join(folder, 'nbd.sock'));
  const next = openSync('/dev/null', 'r');
  closeSync(next);
  for (let turn = 0; turn < 3; turn += 1) assert.throws(() => openLocked(path));
  const after = openSync('/dev/null', 'r');
  closeSync(after);
  assert.equal(after, next, 'the lowest free descriptor is the same');
  await qemu.stop();
  assert.equal(qemuWrite(path).status, 0);
});

test('a block device: QEMU, a second open and a mount are kept out', async (t) => {
  if (!needRoot(t) || !needTool(t, ...QEMU, 'losetup', 'mkfs.ext4', 'mount')) return;
  const { folder, path: backing } = await newDisk(t);
  const path = loopDevice(t, backing);
  assert.equal(runProgram('mkfs.ext4', '-q', path).status, 0);
  const locked = openLocked(path);
  assert.equal(locked.probe.kind, 'block');
  assert.equal(locked.probe.sizeBytes, 4 * MIB);
  assertRefused(qemuWrite(path), 'qemu-io write');
  assertRefused(qemuRead(path), 'qemu-io -r');
  assert.throws(() => openLocked(path), { fault: { code: 'DISK_IN_USE', path, holder: self() } });
  const mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
  const mounted = runProgram('mount', path, mountPoint);
  if (mounted.status === 0) runProgram('umount', mountPoint);
  assert.notEqual(mounted.status, 0, 'mount was let in');
  locked.close();
  assert.equal(qemuWrite(path).status, 0);
});

test('a mounted block device is refused and the mount point named', async (t) => {
  if (!needRoot(t) || !needTool(t, 'losetup', 'mkfs.ext4', 'mount')) return;
  const { folder, path: backing } = await newDisk(t);
  const path = loopDevice(t, backing);
  assert.equal(runProgram('mkfs.ext4', '-q', path).status, 0);
  const mountPoint = join(folder, 'mnt');
  mkdirSync(mountPoint);
  const mounted = runProgram('mount', path, mountPoint);
  if (mounted.status !== 0) return t.skip(`mount is not allowed here: ${mounted.text}`);
  try {
    const holder = `the file system mounted at ${mountPoint}`;
    assert.throws(() => openLocked(path), { fault: { code: 'DISK_IN_USE', path, holder } });
  } finally {
    assert.equal(runProgram('umount', mountPoint).status, 0);
  }
  openLocked(path).close();
});

test('a qemu-nbd on a block device is found and named', async (t) => {
  if (!needRoot(t) || !needTool(t, ...QEMU, 'losetup')) return;
  const { folder, path: backing } = await newDisk(t);
  const path = loopDevice(t, backing);
  const qemu = await holdWithQemu(t, path, join(folder, 'nbd.sock'));
  const fault = { code: 'DISK_IN_USE', path, holder: `qemu-nbd (pid ${qemu.pid})` };
  assert.throws(() => openLocked(path), { fault });
  await qemu.stop();
  openLocked(path).close();
});

test('a path that is no disk fails as probing does, before any lock', (t) => {
  const folder = scratch(t);
  const missing = join(folder, 'none.raw');
  assert.throws(() => openLocked(missing), { fault: { code: 'DISK_MISSING', path: missing } });
  assert.throws(() => openLocked(folder), {
    fault: { code: 'DISK_NOT_A_DISK', path: folder, kind: 'directory' },
  });
});

test('fdinfo: only a lock line with this inode counts', () => {
  const fdinfo = (lock: string) => `pos:\t0\nflags:\t0100002\nmnt_id:\t1\nino:\t77\n${lock}`;
  const line = 'lock:\t1: OFDLCK  ADVISORY  READ -1 fe:00:77 100 101\n';
  assert.equal(hasLockOn(fdinfo(line), '77'), true);
  assert.equal(hasLockOn(fdinfo(line), '7'), false);
  assert.equal(hasLockOn(fdinfo(''), '77'), false, 'open, but not locked');
  assert.equal(hasLockOn('', '77'), false, 'gone');
});
