// Fingerprints: what must be noticed is noticed with real files and a real loop device; what may
// not be compared after a crash or a reboot is not.
import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import {
  type BlockFingerprint,
  bootId,
  type FileFingerprint,
  type Fingerprint,
  fingerprintOf,
  sameFingerprint,
} from '../../src/disk/fingerprint.js';
import { needRoot, needTool, scratch } from '../real.js';
import { loopDevice, runProgram } from './processes.js';

const CLEAN = { sameBoot: true, cleanStop: true };
const CRASH = { sameBoot: true, cleanStop: false };
const REBOOT = { sameBoot: false, cleanStop: true };
const POWER_LOSS = { sameBoot: false, cleanStop: false };
const ALL = [CLEAN, CRASH, REBOOT, POWER_LOSS];
/** File times move in ticks of up to 10 ms. */
const TICK_MS = 25;

async function newDisk(t: TestContext): Promise<string> {
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, MIB);
  await sleep(TICK_MS);
  return path;
}

function writeAt(path: string, offset: number, text: string): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.from(text.padEnd(512)), 0, 512, offset);
  fsyncSync(fd);
  closeSync(fd);
}

function difference(before: Fingerprint, after: Fingerprint, between = CLEAN): string {
  const result = sameFingerprint(before, after, between);
  return result === 'same' ? result : result.differs.replace(/ was .*/, '');
}

test('an untouched file is the same, read and opened as often as one likes', async (t) => {
  const path = await newDisk(t);
  const before = fingerprintOf(path);
  readFileSync(path);
  const fd = openSync(path, 'r+');
  assert.deepEqual(fingerprintOf(fd), before);
  fsyncSync(fd);
  closeSync(fd);
  const after = JSON.parse(JSON.stringify(fingerprintOf(path))) as Fingerprint;
  assert.deepEqual(after, before);
  for (const between of ALL) assert.equal(sameFingerprint(before, after, between), 'same');
});

test('a write, a touch, a time set back: noticed after a clean stop', async (t) => {
  const path = await newDisk(t);
  const before = fingerprintOf(path) as FileFingerprint;
  writeAt(path, 4096, 'fsck was here');
  const written = fingerprintOf(path);
  for (const between of [CLEAN, REBOOT]) {
    assert.equal(difference(before, written, between), 'modification time');
  }
  // Our own late pages change it too, so after a crash the lock is the guard, not the time.
  for (const between of [CRASH, POWER_LOSS]) {
    assert.equal(difference(before, written, between), 'same');
  }
  utimesSync(path, new Date(), new Date(Number(BigInt(before.mtimeNs) / 1_000_000n)));
  assert.notEqual(difference(before, fingerprintOf(path)), 'same');
  const exact = { ...(fingerprintOf(path) as FileFingerprint), mtimeNs: before.mtimeNs };
  assert.equal(difference(before, exact), 'change time', 'rsync -t, cp -p, touch -r');
});

test('another file under the name is noticed even after a crash', async (t) => {
  const path = await newDisk(t);
  const before = fingerprintOf(path);
  copyFileSync(path, `${path}.copy`);
  renameSync(`${path}.copy`, path);
  for (const between of ALL)
    assert.equal(difference(before, fingerprintOf(path), between), 'inode');
});

test('cp onto the file and a new size are noticed', async (t) => {
  const path = await newDisk(t);
  const before = fingerprintOf(path);
  copyFileSync(path, `${path}.copy`);
  await sleep(TICK_MS);
  assert.equal(runProgram('cp', `${path}.copy`, path).status, 0);
  assert.equal(difference(before, fingerprintOf(path)), 'modification time');
  truncateSync(path, MIB + 512);
  for (const between of ALL) assert.equal(difference(before, fingerprintOf(path), between), 'size');
});

test('a loop device: sectors written, then another attachment', async (t) => {
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const backing = await newDisk(t);
  const path = loopDevice(t, backing);
  const before = fingerprintOf(path) as BlockFingerprint;
  assert.equal(before.kind, 'block');
  assert.equal(before.sizeBytes, MIB);
  assert.equal(before.identity, `loop/backing_file=${backing}`);
  readFileSync(path);
  assert.equal(difference(before, fingerprintOf(path)), 'same', 'reading is no change');
  writeAt(path, 4096, 'qemu was here');
  const written = fingerprintOf(path) as BlockFingerprint;
  assert.equal(difference(before, written), 'sectors written');
  assert.ok((written.sectorsWritten ?? 0) >= (before.sectorsWritten ?? 0) + 8);
  for (const between of [CRASH, REBOOT, POWER_LOSS]) {
    assert.equal(difference(before, written, between), 'same');
  }
  const again = loopDevice(t, backing);
  const moved = fingerprintOf(again);
  assert.equal(difference(written, moved, CRASH), 'device');
  assert.equal(difference(written, moved, REBOOT), 'same', 'numbers mean nothing across boots');
});

test('block devices: what counts within a boot and what counts across', () => {
  const before: BlockFingerprint = {
    kind: 'block',
    bootId: 'x',
    dev: 0x0800,
    sizeBytes: MIB,
    diskSequence: 4,
    sectorsWritten: 100,
    identity: 'serial=A',
  };
  const cases: [keyof BlockFingerprint, string | number | null, string[]][] = [
    ['sizeBytes', 2 * MIB, ['size', 'size', 'size', 'size']],
    ['identity', 'serial=B', ['identity', 'identity', 'identity', 'identity']],
    ['dev', 0x0810, ['device', 'device', 'same', 'same']],
    ['diskSequence', 5, ['disk sequence', 'disk sequence', 'same', 'same']],
    ['diskSequence', null, ['disk sequence', 'disk sequence', 'same', 'same']],
    ['sectorsWritten', 108, ['sectors written', 'same', 'same', 'same']],
    ['bootId', 'y', ['same', 'same', 'same', 'same']],
  ];
  for (const [field, value, expected] of cases) {
    const after = { ...before, [field]: value } as BlockFingerprint;
    assert.deepEqual(
      ALL.map((between) => difference(before, after, between)),
      expected,
      field,
    );
  }
});

test('a file is never a block device; the words say both values', () => {
  const file: FileFingerprint = {
    kind: 'file',
    bootId: 'x',
    dev: 1,
    ino: '2',
    sizeBytes: MIB,
    mtimeNs: '3',
    ctimeNs: '4',
  };
  const block: BlockFingerprint = {
    kind: 'block',
    bootId: 'x',
    dev: 1,
    sizeBytes: MIB,
    diskSequence: null,
    sectorsWritten: null,
    identity: null,
  };
  assert.deepEqual(sameFingerprint(file, block, CLEAN), { differs: 'kind was file, is block' });
  assert.deepEqual(sameFingerprint(file, { ...file, ino: '9' }, CLEAN), {
    differs: 'inode was 2, is 9',
  });
});

test('the boot id is a UUID and stays', () => {
  assert.match(bootId(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  assert.equal(bootId(), bootId());
});

test('errors are those of probing', async (t) => {
  const path = join(scratch(t), 'none');
  assert.throws(() => fingerprintOf(path), { fault: { code: 'DISK_MISSING', path } });
});
