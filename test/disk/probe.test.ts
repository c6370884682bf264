// Probing: sizes, kinds, image formats made by the real qemu-img, device numbers.
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { majorMinor, probeDisk } from '../../src/disk/probe.js';
import { needRoot, needTool, scratch } from '../real.js';
import { loopDevice, runProgram } from './processes.js';

test('a raw file: kind, size, device and inode', async (t) => {
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, 10 * MIB + 512);
  const stats = statSync(path, { bigint: true });
  assert.deepEqual(probeDisk(path), {
    kind: 'file',
    sizeBytes: 10 * MIB + 512,
    dev: Number(stats.dev),
    ino: stats.ino.toString(),
    diskSequence: null,
  });
});

test('a disk larger than 2^32 bytes keeps its size', async (t) => {
  const path = join(scratch(t), 'large.raw');
  await createSparseFile(path, 2 ** 40 + 512);
  assert.equal(probeDisk(path).sizeBytes, 2 ** 40 + 512);
});

test('sizes that are no disk are refused with the size', (t) => {
  const path = join(scratch(t), 'disk.raw');
  for (const sizeBytes of [0, 1, 511, 513, MIB + 1]) {
    writeFileSync(path, Buffer.alloc(sizeBytes));
    assert.throws(() => probeDisk(path), { fault: { code: 'DISK_BAD_SIZE', path, sizeBytes } });
  }
});

test('what is not there, and what is no disk', async (t) => {
  const folder = scratch(t);
  const missing = (path: string) => ({ fault: { code: 'DISK_MISSING', path } });
  assert.throws(() => probeDisk(join(folder, 'no')), missing(join(folder, 'no')));
  writeFileSync(join(folder, 'file'), 'x');
  const below = join(folder, 'file', 'below');
  assert.throws(() => probeDisk(below), missing(below));
  const kinds: [string, string][] = [
    [folder, 'directory'],
    ['/dev/null', 'character device'],
  ];
  assert.equal(runProgram('mkfifo', join(folder, 'fifo')).status, 0);
  kinds.push([join(folder, 'fifo'), 'FIFO']);
  const server = createServer();
  await new Promise<void>((done) => server.listen(join(folder, 'socket'), done));
  kinds.push([join(folder, 'socket'), 'socket']);
  for (const [path, kind] of kinds) {
    assert.throws(() => probeDisk(path), { fault: { code: 'DISK_NOT_A_DISK', path, kind } });
  }
  await new Promise<void>((done) => server.close(() => done()));
});

const FORMATS: readonly [qemuFormat: string, options: string, named: string][] = [
  ['qcow2', 'compat=1.1', 'qcow2'],
  ['qcow2', 'compat=0.10', 'qcow2'],
  ['vmdk', 'subformat=monolithicSparse', 'VMDK'],
  ['vmdk', 'subformat=twoGbMaxExtentFlat', 'VMDK'],
  ['vdi', 'static=off', 'VDI'],
  ['vhdx', 'subformat=dynamic', 'VHDX'],
  ['vpc', 'subformat=dynamic', 'VHD'],
  ['vpc', 'subformat=fixed,force_size=on', 'VHD'],
  ['qed', 'cluster_size=65536', 'QED'],
  ['parallels', 'cluster_size=1048576', 'Parallels'],
];

for (const [format, options, named] of FORMATS) {
  test(`${format} (${options}) is refused by name, unless it already is a resource`, (t) => {
    if (!needTool(t, 'qemu-img')) return;
    const path = join(scratch(t), 'image');
    const made = runProgram('qemu-img', 'create', '-f', format, '-o', options, path, '4M');
    if (/Unsupported|Unknown file format|not support/i.test(made.text)) {
      return t.skip(`this qemu-img does not make it: ${made.text.trim()}`);
    }
    assert.equal(made.status, 0, made.text);
    const fault = { code: 'DISK_NOT_RAW', path, format: named };
    assert.throws(() => probeDisk(path), { fault });
    if (statSync(path).size % 512 !== 0) return;
    assert.equal(probeDisk(path, { formatCheck: false }).sizeBytes, statSync(path).size);
  });
}

test('raw disks that look like something else are taken', async (t) => {
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, MIB);
  const starts = ['LUKS\xba\xbe', 'QFI', 'qfi\xfb', 'EFI PART', 'hsqs', 'vhdxfil'];
  for (const start of starts) {
    const fd = openSync(path, 'r+');
    writeSync(fd, Buffer.alloc(512), 0, 512, 0);
    writeSync(fd, Buffer.from(start, 'latin1'), 0, start.length, 0);
    closeSync(fd);
    assert.equal(probeDisk(path).sizeBytes, MIB, start);
  }
});

test('an ext4 file system without a partition table is a raw disk', async (t) => {
  if (!needTool(t, 'mkfs.ext4')) return;
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, 4 * MIB);
  assert.equal(runProgram('mkfs.ext4', '-q', '-F', path).status, 0);
  assert.equal(probeDisk(path).kind, 'file');
});

test('a block device: size to the sector, device number, disk sequence', async (t) => {
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const backing = join(scratch(t), 'backing.raw');
  await createSparseFile(backing, 10 * MIB + 512);
  const path = loopDevice(t, backing);
  const probe = probeDisk(path);
  assert.deepEqual(
    { kind: probe.kind, sizeBytes: probe.sizeBytes, ino: probe.ino },
    {
      kind: 'block',
      sizeBytes: 10 * MIB + 512,
      ino: '0',
    },
  );
  assert.equal(majorMinor(probe.dev), `7:${path.replace('/dev/loop', '')}`);
  if (probe.diskSequence !== null) assert.ok(probe.diskSequence > 0);
  assert.deepEqual(probeDisk(path), probe);
});

test('a loop device of nothing is refused', (t) => {
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const backing = join(scratch(t), 'backing.raw');
  const fd = openSync(backing, 'w');
  ftruncateSync(fd, 512);
  const path = loopDevice(t, backing);
  ftruncateSync(fd, 0);
  closeSync(fd);
  assert.equal(runProgram('losetup', '--set-capacity', path).status, 0);
  assert.throws(() => probeDisk(path), { fault: { code: 'DISK_BAD_SIZE', path, sizeBytes: 0 } });
});

test('device numbers are taken apart as glibc does', () => {
  assert.equal(majorMinor(0xfe00), '254:0');
  assert.equal(majorMinor(0x0803), '8:3');
  assert.equal(majorMinor(0x1_0301), '259:1', 'major above 255 is in the lower twelve bits');
  assert.equal(majorMinor(0x10_0800), '8:256', 'minor above 255 begins at bit 20');
  assert.equal(majorMinor(0xfff0_08ff), '8:1048575');
});
