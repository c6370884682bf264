// Reads past the page cache where O_DIRECT is refused: it is found once and said, nothing is read,
// and the Device reads another way. procfs has no O_DIRECT; neither has ramfs.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { MediumReader } from '../../src/disk/medium.js';
import { addressOf, alignedMemory } from '../../src/disk/syscalls.js';
import { needRoot, scratch } from '../real.js';

const openFiles = (): number => readdirSync('/proc/self/fd').length;

test('a file system without O_DIRECT is a refusal, not an error, each time', async () => {
  const fd = openSync('/proc/version', 'r');
  const reader = new MediumReader(fd);
  const into = new Uint8Array(100).fill(0xee);
  for (const offset of [0, 10]) assert.equal(await reader.read(offset, into), 'refused');
  assert.ok(into.every((byte) => byte === 0xee));
  await reader.close();
  await reader.close();
  closeSync(fd);
});

test('a descriptor that is none is an error, and closing after it is none', async () => {
  const reader = new MediumReader(99_999);
  await assert.rejects(reader.read(0, new Uint8Array(512)), { code: 'ENOENT' });
  await reader.close();
  await new MediumReader(99_999).close();
});

test('an open that fails is tried again by the next read', async (t) => {
  const path = join(scratch(t), 'file');
  const closed = openSync(path, 'w+');
  ftruncateSync(closed, 4096);
  closeSync(closed);
  const reader = new MediumReader(closed);
  const reads = [0, 512].map((offset) => reader.read(offset, new Uint8Array(512)));
  for (const read of reads) await assert.rejects(read, { code: 'ENOENT' });
  const fd = openSync(path, 'r');
  t.after(() => closeSync(fd));
  assert.equal(fd, closed, 'the lowest number that is free');
  const before = openFiles();
  const got = await reader.read(0, new Uint8Array(512));
  assert.ok(got === 512 || got === 'refused');
  await reader.close();
  assert.equal(openFiles(), before);
});

test('many reads at once, long and short, and its descriptor goes with it', async (t) => {
  const path = join(scratch(t), 'file');
  const fd = openSync(path, 'w+');
  t.after(() => closeSync(fd));
  ftruncateSync(fd, 2 * MIB);
  const content = Buffer.from(seededRandom(3).bytes(MIB));
  const device = openFileDevice(fd, path, 'file', 2 * MIB, { ownsFd: false });
  await device.write(4096, content);
  const before = openFiles();
  const reader = new MediumReader(fd);
  const random = seededRandom(4);
  const reads = Array.from({ length: 40 }, async () => {
    const offset = random.below(MIB - 1);
    const into = new Uint8Array(1 + random.below(Math.min(600_000, MIB - offset)));
    const got = await reader.read(4096 + offset, into);
    if (got === 'refused') return;
    assert.equal(got, into.length);
    assert.ok(content.subarray(offset, offset + into.length).equals(into));
  });
  await Promise.all(reads);
  await reader.close();
  assert.equal(openFiles(), before);
  await device.close();
});

test('a Device on ramfs: what O_DIRECT refuses is read all the same', async (t) => {
  if (!needRoot(t)) return;
  const folder = mkdtempSync(join(tmpdir(), 'hast-ramfs-'));
  t.after(() => {
    spawnSync('umount', [folder], { timeout: 10_000 });
    rmSync(folder, { recursive: true, force: true });
  });
  const mounted = spawnSync('mount', ['-t', 'ramfs', 'none', folder], { timeout: 10_000 });
  if (mounted.status !== 0) return t.skip('ramfs cannot be mounted');
  const path = join(folder, 'disk');
  const fd = openSync(path, 'w+');
  ftruncateSync(fd, MIB);
  const device = openFileDevice(fd, path, 'file', MIB, { ownsFd: true });
  const bytes = seededRandom(5).bytes(9000);
  device.writeNow(5000, bytes);
  for (const how of ['readMedium', 'readAside', 'readMedium'] as const) {
    const into = new Uint8Array(9000);
    await device[how](5000, into);
    assert.deepEqual(into, bytes);
  }
  await device.close();
});

test('aligned memory is aligned, and as long as asked', () => {
  for (const align of [512, 4096, 65_536]) {
    for (const bytes of [1, 4096, 100_000]) {
      const memory = alignedMemory(bytes, align);
      assert.equal(memory.length, bytes);
      assert.equal(addressOf(memory) % align, 0);
    }
  }
});
