// A disk that is made longer for its primary, and what its fingerprint then tells (H14, H28): with
// real files, the growth itself is no difference, anything else is.
import assert from 'node:assert/strict';
import fs, { closeSync, openSync, statSync, truncateSync, utimesSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { Disks } from '../../src/daemon/disks.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import {
  type BlockFingerprint,
  type FileFingerprint,
  type Fingerprint,
  fingerprintOf,
  sameFingerprint,
} from '../../src/disk/fingerprint.js';
import { scratch } from '../real.js';

const CLEAN = { sameBoot: true, cleanStop: true };
const REBOOT = { sameBoot: false, cleanStop: true };
const CRASH = { sameBoot: true, cleanStop: false };

/** What is published before a growth to `growsTo` bytes. */
const published = (print: Fingerprint, growsTo: number): Fingerprint =>
  JSON.parse(JSON.stringify({ ...print, growsTo })) as Fingerprint;

function difference(before: Fingerprint, after: Fingerprint, between = CLEAN): string {
  const result = sameFingerprint(before, after, between);
  return result === 'same' ? result : result.differs.replace(/ was .*/, '');
}

function writeAt(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, Buffer.alloc(512, 7), 0, 512, offset);
  closeSync(fd);
}

/** A disk of 1 MiB, held, and what is published before it grows to 2 MiB. */
async function held(t: TestContext) {
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, MIB);
  writeAt(path, 4096);
  const disks = new Disks();
  t.after(() => disks.close('vm1'));
  const open = (sizeBytes: number) => disks.open('vm1', path, sizeBytes);
  await open(MIB);
  const before = fingerprintOf(path);
  return { path, open, before, said: published(before, 2 * MIB) };
}

test('a file that only grew, by what was said: no difference', async (t) => {
  const { path, open, before, said } = await held(t);
  for (const between of [CLEAN, REBOOT, CRASH]) {
    assert.equal(difference(said, fingerprintOf(path), between), 'same', 'not yet');
  }
  assert.equal((await open(2 * MIB)).sizeBytes, 2 * MIB);
  const after = fingerprintOf(path);
  for (const between of [CLEAN, REBOOT, CRASH]) {
    assert.equal(difference(said, after, between), 'same');
    assert.equal(difference(before, after, between), 'size', 'that it grows has to be said');
    assert.equal(difference(published(before, 3 * MIB), after, between), 'size');
  }
  await open(2 * MIB);
  assert.equal(difference(after, fingerprintOf(path)), 'same', 'it is long enough: not touched');
});

test('a file is that long durably when it is answered, or it is an error', async (t) => {
  const { open } = await held(t);
  const synced: number[] = [];
  const { fsync } = fs;
  let fails = true;
  t.after(() => {
    fs.fsync = fsync;
    syncBuiltinESMExports();
  });
  fs.fsync = ((fd: number, done: (error: Error | null) => void) => {
    synced.push(fs.fstatSync(fd).size);
    if (fails) done(Object.assign(new Error('injected'), { code: 'EIO' }));
    else fsync(fd, done);
  }) as typeof fsync;
  syncBuiltinESMExports();
  await assert.rejects(open(2 * MIB), /fsync.* failed: EIO/);
  fails = false;
  await open(2 * MIB);
  assert.deepEqual(synced, [2 * MIB, 2 * MIB], 'of a file that is long enough too');
});

test('a write after the growth, or a growth that is not ours: a difference', async (t) => {
  const { path, open, said } = await held(t);
  await open(2 * MIB);
  for (const offset of [0, MIB, 2 * MIB - 512]) {
    writeAt(path, offset);
    assert.equal(difference(said, fingerprintOf(path)), 'modification time', `at ${offset}`);
    assert.equal(difference(said, fingerprintOf(path), CRASH), 'modification time');
    utimesSync(path, statSync(path).atime, Math.floor(Date.now() / 1000));
    assert.equal(difference(said, fingerprintOf(path)), 'modification time', 'a whole second');
  }
  const other = await held(t);
  truncateSync(other.path, 2 * MIB);
  assert.equal(difference(other.said, fingerprintOf(other.path)), 'modification time');
  assert.equal(difference(other.said, fingerprintOf(other.path), CRASH), 'modification time');
});

test('a block device that only grew: no difference where its counter says so', () => {
  const before: BlockFingerprint = {
    kind: 'block',
    bootId: 'x',
    dev: 0xfd00,
    sizeBytes: MIB,
    diskSequence: 4,
    sectorsWritten: 100,
    identity: 'dm/uuid=LVM-x',
  };
  const grown = { ...before, sizeBytes: 4 * MIB };
  const said = published(before, 3 * MIB);
  assert.equal(difference(before, grown), 'size');
  assert.equal(difference(said, grown), 'same', 'an administrator may give it more than is asked');
  assert.equal(difference(said, before), 'same');
  assert.equal(difference(said, { ...grown, sectorsWritten: 108 }), 'sectors written');
  assert.equal(difference(said, { ...grown, diskSequence: 5 }), 'disk sequence');
  assert.equal(difference(said, { ...grown, sizeBytes: MIB / 2 }), 'size');
  for (const between of [REBOOT, CRASH]) assert.equal(difference(said, grown, between), 'size');
  const mute = { ...said, sectorsWritten: null } as BlockFingerprint;
  assert.equal(difference(mute, { ...grown, sectorsWritten: null }), 'size', 'nothing tells');
});

test('a time of whole seconds before', async (t) => {
  for (const seconds of [1, 1_700_000_000]) {
    const { path, open } = await held(t);
    utimesSync(path, seconds, seconds);
    const before = fingerprintOf(path) as FileFingerprint;
    await open(2 * MIB);
    assert.equal(difference(published(before, 2 * MIB), fingerprintOf(path)), 'same', `${seconds}`);
  }
});
