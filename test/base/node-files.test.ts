// Files over node:fs against the real file system: modes, completeness, errors with their errno,
// and that nothing is created or emptied that was not asked for.
import assert from 'node:assert/strict';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { errorClass } from '../../src/base/errors.js';
import type { Files } from '../../src/base/files.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { publish } from '../../src/base/publish.js';
import { reserveSpace } from '../../src/disk/syscalls.js';
import { needRoot, scratch } from '../real.js';

const files: Files = nodeFiles(reserveSpace);

const failed = (path: string, operation: string, errno: string) => ({
  fault: { code: 'FILE_FAILED', operation, path, errno },
});

test('open: which modes create, empty, or refuse', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'file');
  await assert.rejects(files.open(path, 'read'), failed(path, 'open', 'ENOENT'));
  await assert.rejects(files.open(path, 'write'), failed(path, 'open', 'ENOENT'));
  assert.deepEqual(readdirSync(folder), []);
  await (await files.open(path, 'exclusive')).close();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(files.open(path, 'exclusive'), failed(path, 'open', 'EEXIST'));
  writeFileSync(path, 'content');
  for (const mode of ['read', 'write'] as const) {
    const handle = await files.open(path, mode);
    assert.equal(await handle.size(), 7, mode);
    await handle.close();
  }
  const emptied = await files.open(path, 'truncate');
  assert.equal(await emptied.size(), 0);
  assert.equal(emptied.path, path);
  await emptied.close();
  await (await files.open(join(folder, 'new'), 'truncate')).close();
  assert.equal(statSync(join(folder, 'new')).mode & 0o777, 0o600);
});

test('a handle reads what it wrote, now and later, at any offset', async (t) => {
  const path = join(scratch(t), 'file');
  const handle = await files.open(path, 'exclusive');
  await handle.write(Buffer.from('first'), 0);
  handle.writeNow(Buffer.from('second'), 100);
  const large = Buffer.alloc(3_000_000).map((_, index) => index % 253);
  await handle.write(large, 1000);
  const into = Buffer.alloc(large.length);
  assert.equal(handle.readNow(into, 1000), large.length);
  assert.ok(into.equals(large));
  assert.equal(await handle.read(into.fill(0), 1000), large.length);
  assert.ok(into.equals(large));
  const both = Buffer.alloc(106, 0xee);
  assert.equal(await handle.read(both, 0), 106);
  assert.equal(both.toString('latin1'), `first${'\0'.repeat(95)}second`);
  await handle.sync();
  await handle.close();
  assert.equal(statSync(path).size, 1000 + large.length);
});

test('reading at and over the end gives what is there', async (t) => {
  const path = join(scratch(t), 'file');
  writeFileSync(path, '0123456789');
  const handle = await files.open(path, 'read');
  const into = Buffer.alloc(8, 0xee);
  assert.equal(await handle.read(into, 6), 4);
  assert.equal(into.subarray(0, 4).toString(), '6789');
  assert.equal(into[4], 0xee);
  assert.equal(handle.readNow(into, 9), 1);
  assert.equal(handle.readNow(into, 10), 0);
  assert.equal(await handle.read(into, 1000), 0);
  assert.equal(await handle.read(new Uint8Array(0), 0), 0);
  await assert.rejects(handle.write(into, 0), failed(path, 'write', 'EBADF'));
  assert.throws(() => handle.writeNow(into, 0), failed(path, 'write', 'EBADF'));
  await handle.close();
});

test('a handle works with shared memory', async (t) => {
  const handle = await files.open(join(scratch(t), 'file'), 'exclusive');
  const shared = new SharedArrayBuffer(100);
  new Uint8Array(shared, 10, 20).fill(7);
  await handle.write(new Uint8Array(shared, 10, 20), 0);
  handle.writeNow(new Uint8Array(shared, 10, 20), 20);
  assert.equal(await handle.read(new Uint8Array(shared, 50, 40), 0), 40);
  assert.deepEqual([...new Uint8Array(shared, 48, 44)], [0, 0, ...Array(40).fill(7), 0, 0]);
  await handle.close();
});

test('truncate cuts and extends with zeroes', async (t) => {
  const path = join(scratch(t), 'file');
  const handle = await files.open(path, 'exclusive');
  await handle.write(Buffer.from('0123456789'), 0);
  await handle.truncate(4);
  assert.equal(await handle.size(), 4);
  await handle.truncate(6);
  assert.equal(readFileSync(path, 'latin1'), '0123\0\0');
  await handle.close();
});

test('reserve takes space and leaves size and content', async (t) => {
  const path = join(scratch(t), 'file');
  const handle = await files.open(path, 'exclusive');
  await handle.write(Buffer.from('kept'), 0);
  await handle.reserve(0);
  await handle.reserve(1_000_000);
  assert.equal(await handle.size(), 4);
  assert.ok(statSync(path).blocks * 512 >= 1_000_000);
  assert.equal(readFileSync(path, 'latin1'), 'kept');
  await handle.close();
  const reader = await files.open(path, 'read');
  await assert.rejects(reader.reserve(1), failed(path, 'fallocate', 'EBADF'));
  await reader.close();
});

test('reserve: the errno of a typed error, or the code of any other', async (t) => {
  const path = join(scratch(t), 'file');
  const Typed = errorClass<{ code: 'X'; errno: string }>('Typed', { X: () => 'x' });
  const errors: [Error, string][] = [
    [new Typed({ code: 'X', errno: 'ENOSPC' }), 'ENOSPC'],
    [Object.assign(new RangeError('full'), { code: 'EDQUOT' }), 'EDQUOT'],
    [new RangeError('nameless'), 'EIO'],
  ];
  for (const [error, errno] of errors) {
    const failing = nodeFiles(() => {
      throw error;
    });
    const handle = await failing.open(path, 'truncate');
    await assert.rejects(handle.reserve(1), { ...failed(path, 'fallocate', errno), cause: error });
    await handle.close();
  }
});

test('close waits, can be called twice, and ends the use', async (t) => {
  const path = join(scratch(t), 'file');
  const handle = await files.open(path, 'exclusive');
  const late = handle.write(Buffer.alloc(4_000_000, 1), 0);
  await Promise.all([late, handle.close(), handle.close()]);
  await handle.close();
  assert.equal(statSync(path).size, 4_000_000);
  assert.throws(() => handle.readNow(new Uint8Array(1), 0), { name: 'AssertionError' });
  await assert.rejects(handle.read(new Uint8Array(1), 0), failed(path, 'read', 'EBADF'));
});

test('readWhole: content, nothing, too much', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'file');
  assert.equal(await files.readWhole(path, 100), null);
  assert.equal(await files.readWhole(join(folder, 'none', 'file'), 100), null);
  writeFileSync(path, '');
  assert.equal((await files.readWhole(path, 0))?.length, 0);
  writeFileSync(path, 'x'.repeat(100));
  assert.equal(Buffer.from((await files.readWhole(path, 100)) ?? []).toString(), 'x'.repeat(100));
  const fault = { code: 'FILE_TOO_LARGE', path, bytes: 100, bytesMax: 99 };
  await assert.rejects(files.readWhole(path, 99), { fault });
  truncateSync(path, 2 ** 40); // refused before anything is allocated
  await assert.rejects(files.readWhole(path, 1e6), {
    fault: { ...fault, bytes: 2 ** 40, bytesMax: 1e6 },
  });
  await assert.rejects(files.readWhole(folder, 100_000), failed(folder, 'read', 'EISDIR'));
});

test('exists, remove, rename, list', async (t) => {
  const folder = scratch(t);
  const at = (name: string) => join(folder, name);
  for (const name of ['b', 'a', 'C', '10', '9']) writeFileSync(at(name), name);
  assert.deepEqual(await files.list(folder), ['10', '9', 'C', 'a', 'b']);
  assert.deepEqual(await files.list(at('none')), []);
  assert.equal(await files.exists(at('a')), true);
  assert.equal(await files.exists(folder), true);
  assert.equal(await files.exists(at('none')), false);
  assert.equal(await files.exists(at('a/below')), false);
  await files.rename(at('a'), at('b'));
  assert.equal(readFileSync(at('b'), 'latin1'), 'a');
  assert.equal(await files.exists(at('a')), false);
  await assert.rejects(
    files.rename(at('a'), at('c')),
    failed(at('c'), `rename of ${at('a')}`, 'ENOENT'),
  );
  await files.remove(at('b'));
  await files.remove(at('b'));
  assert.deepEqual(await files.list(folder), ['10', '9', 'C']);
  symlinkSync(at('9'), at('link'));
  await files.remove(at('link'));
  assert.equal(await files.exists(at('9')), true, 'the link is removed, not the file');
  mkdirSync(at('d'));
  await assert.rejects(files.remove(at('d')), failed(at('d'), 'unlink', 'EISDIR'));
});

test('makeDirectory: parents, private, and no error when it is there', async (t) => {
  const folder = scratch(t);
  const deep = join(folder, 'a', 'b', 'c');
  await files.makeDirectory(deep);
  await files.makeDirectory(deep);
  for (const path of [join(folder, 'a'), join(folder, 'a', 'b'), deep]) {
    assert.equal(statSync(path).mode & 0o777, 0o700, path);
  }
  const file = join(folder, 'file');
  writeFileSync(file, '');
  await assert.rejects(files.makeDirectory(file), failed(file, 'mkdir', 'EEXIST'));
});

test('syncDirectory of a folder, and of none', async (t) => {
  const folder = scratch(t);
  await files.syncDirectory(folder);
  const none = join(folder, 'none');
  await assert.rejects(files.syncDirectory(none), failed(none, 'fsync', 'ENOENT'));
});

test('publish works on it and leaves only the file', async (t) => {
  const folder = scratch(t);
  const path = join(folder, 'resource.json');
  await publish(files, path, Buffer.from('one'));
  await publish(files, path, Buffer.from('two'));
  assert.equal(readFileSync(path, 'latin1'), 'two');
  assert.deepEqual(readdirSync(folder), ['resource.json']);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a full device is ENOSPC', async (t) => {
  if (!needRoot(t)) return;
  const handle = await files.open('/dev/full', 'write');
  await assert.rejects(handle.write(Buffer.alloc(10), 0), failed('/dev/full', 'write', 'ENOSPC'));
  assert.throws(() => handle.writeNow(Buffer.alloc(10), 0), failed('/dev/full', 'write', 'ENOSPC'));
  await handle.close();
});
