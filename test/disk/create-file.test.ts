// Making a sparse file: exclusive, private, takes no space, leaves nothing when it fails.
import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { GIB, MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { scratch } from '../real.js';

test('a new file has the size, no content, no space, and mode 0600', async (t) => {
  const path = join(scratch(t), 'disk.raw');
  await createSparseFile(path, 100 * GIB + 512);
  const stats = statSync(path);
  assert.equal(stats.size, 100 * GIB + 512);
  assert.ok(stats.blocks * 512 < MIB, `${stats.blocks} blocks`);
  assert.equal(stats.mode & 0o777, 0o600);
});

test('an existing file or dangling link is never touched', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'disk.raw');
  writeFileSync(path, 'precious');
  const fault = { code: 'DISK_FAILED', operation: 'create', path, offset: 0, errno: 'EEXIST' };
  await assert.rejects(createSparseFile(path, MIB), { fault });
  assert.equal(readFileSync(path, 'utf8'), 'precious');
  const link = join(folder, 'link');
  symlinkSync(join(folder, 'target'), link);
  await assert.rejects(createSparseFile(link, MIB), { fault: { ...fault, path: link } });
  assert.equal(existsSync(join(folder, 'target')), false);
});

test('impossible sizes are refused before anything is made', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'disk.raw');
  for (const sizeBytes of [0, -512, 511, 513, Number.NaN, 2 ** 48 + 512, Infinity]) {
    const fault = { code: 'DISK_BAD_SIZE', path, sizeBytes };
    await assert.rejects(createSparseFile(path, sizeBytes), { fault });
  }
  assert.deepEqual(readdirSync(folder), []);
});

test('a file system that cannot hold it: the errno, and no file left', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'disk.raw');
  // 256 TiB: more than ext4's 16 TiB per file; xfs and tmpfs may take it.
  const outcome = await createSparseFile(path, 2 ** 48).then(
    () => 'made',
    (error: { fault: { errno: string } }) => error.fault.errno,
  );
  if (outcome === 'made') return t.skip('this file system takes a file of 256 TiB');
  assert.ok(['EFBIG', 'EINVAL', 'ENOSPC'].includes(outcome), outcome);
  assert.deepEqual(readdirSync(folder), []);
});

test('a missing directory is named by its errno', async (t) => {
  const path = join(scratch(t), 'none', 'disk.raw');
  const fault = { code: 'DISK_FAILED', operation: 'create', path, offset: 0, errno: 'ENOENT' };
  await assert.rejects(createSparseFile(path, MIB), { fault });
});
