// The crash world while its machine runs: a file system as any other, steps that are counted,
// failures to order, space. What a power failure takes of it: memory-losses.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { CrashWorld } from './memory-files.js';
import { bytes, failsWith, RANDOM, text, world, write } from './small-world.js';

test('reads see the latest; sizes, lists and short reads are those of a file system', async () => {
  const w = world();
  await w.makeDirectory('/s/a/b');
  await w.makeDirectory('/s/a/b');
  await write(w, '/s/a/b/f', 'hello');
  const handle = await w.open('/s/a/b/f', 'read');
  const into = new Uint8Array(10);
  assert.equal(await handle.read(into, 2), 3);
  assert.equal(handle.readNow(into, 5), 0);
  assert.equal(await handle.size(), 5);
  assert.deepEqual(await w.list('/s'), ['a', 'old']);
  assert.deepEqual(await w.list('/nowhere'), []);
  assert.equal(await w.exists('/s/a/b'), true);
  assert.equal(await w.exists('/s/a/c'), false);
  assert.equal(await w.readWhole('/s/none', 10), null);
  assert.deepEqual(await w.readWhole('/s/old', 3), bytes('old'));
  await assert.rejects(w.readWhole('/s/old', 2), (e) => codeOf(e) === 'FILE_TOO_LARGE');
});

test('open modes and refusals', async () => {
  const w = world();
  await assert.rejects(w.open('/s/new', 'read'), failsWith('ENOENT'));
  await assert.rejects(w.open('/s/new', 'write'), failsWith('ENOENT'));
  await assert.rejects(w.open('/s/old', 'exclusive'), failsWith('EEXIST'));
  await assert.rejects(w.open('/no/new', 'truncate'), failsWith('ENOENT'));
  await assert.rejects(w.open('/s', 'read'), failsWith('EISDIR'));
  await assert.rejects(w.rename('/s/none', '/s/x'), failsWith('ENOENT'));
  await w.remove('/s/none');
  const reader = await w.open('/s/old', 'read');
  assert.throws(() => reader.writeNow(bytes('x'), 0), failsWith('EBADF'));
  await reader.close();
  await reader.close();
  await assert.rejects(reader.size(), /assertion failed: .*is open/);
  assert.equal(text(w, '/s/old'), 'old');
});

test('a removed or replaced file goes on for who has it open', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await write(w, '/s/new', 'new');
  await w.rename('/s/new', '/s/old');
  const into = new Uint8Array(3);
  handle.readNow(into, 0);
  assert.equal(new TextDecoder().decode(into), 'old');
  assert.equal(text(w, '/s/old'), 'new');
});

test('each kind of mutation is one step', async () => {
  const w = world();
  const counts: number[] = [];
  const handle = await w.open('/s/old', 'write');
  const run = async (work: () => Promise<unknown>) => {
    const before = w.steps;
    await work();
    counts.push(w.steps - before);
  };
  await run(() => handle.write(bytes('x'), 0));
  await run(async () => handle.writeNow(bytes('x'), 0));
  await run(() => handle.truncate(1));
  await run(() => handle.reserve(10));
  await run(() => handle.sync());
  await run(() => w.open('/s/new', 'exclusive'));
  await run(() => w.rename('/s/new', '/s/newer'));
  await run(() => w.remove('/s/newer'));
  await run(() => w.makeDirectory('/s/d'));
  await run(() => w.syncDirectory('/s'));
  assert.deepEqual(counts, Array(10).fill(1));
  counts.length = 0;
  await run(() => w.open('/s/old', 'read'));
  await run(() => handle.read(new Uint8Array(1), 0));
  await run(() => w.makeDirectory('/s/d'));
  await run(() => w.list('/s'));
  assert.deepEqual(counts, [0, 0, 0, 0]);
});

test('failures are injected by operation and path, and then gone', async () => {
  const w = world();
  w.plant('/s/other', bytes('other'));
  const handle = await w.open('/s/old', 'write');
  const other = await w.open('/s/other', 'write');
  w.failNext({ operation: 'write', path: '/s/old' }, 'EIO');
  await other.write(bytes('O'), 0);
  await assert.rejects(handle.write(bytes('X'), 0), failsWith('EIO'));
  assert.equal(text(w, '/s/old'), 'old');
  await handle.write(bytes('X'), 0);
  w.failNext({ operation: 'rename' }, 'EROFS', 2);
  await assert.rejects(w.rename('/s/old', '/s/x'), failsWith('EROFS'));
  await assert.rejects(w.rename('/s/other', '/s/x'), failsWith('EROFS'));
  await w.rename('/s/other', '/s/x');
});

test('a failed sync is reported once and its writes are never durable (H18)', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('X'), 0);
  w.failNext({ operation: 'sync' }, 'EIO');
  await assert.rejects(handle.sync(), failsWith('EIO'));
  await handle.write(bytes('Y'), 1);
  await handle.sync();
  assert.equal(text(w, '/s/old'), 'XYd', 'the page cache still shows it');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), 'oYd');
  w.evict('/s/old');
  assert.equal(text(w, '/s/old'), 'oYd', 'until the page cache is dropped');
});

test('space: ENOSPC beyond the capacity, reservations count and can be written', async () => {
  const w = new CrashWorld({ capacityBytes: 65_536 });
  w.plant('/f', new Uint8Array(4096));
  const handle = await w.open('/f', 'write');
  await handle.reserve(40_960);
  assert.equal(w.usedBytes(), 40_960);
  assert.equal(await handle.size(), 4096, 'the size is kept');
  const other = await w.open('/g', 'exclusive');
  await assert.rejects(other.reserve(28_672), failsWith('ENOSPC'));
  await other.write(new Uint8Array(24_576), 0);
  assert.throws(() => other.writeNow(new Uint8Array(1), 24_576), failsWith('ENOSPC'));
  await other.write(new Uint8Array(1), 24_575);
  await handle.write(new Uint8Array(40_960), 0);
  await w.remove('/g');
  await handle.reserve(65_536);
  await handle.truncate(0);
  assert.equal(w.usedBytes(), 0);
});

test('a flipped bit is there now and after a crash', () => {
  const w = world();
  w.flip('/s/old', 1);
  assert.notEqual(text(w, '/s/old'), 'old');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), text(w, '/s/old'));
  assert.equal([...(w.peek('/s/old') ?? [])].filter((b, at) => b !== bytes('old')[at]).length, 1);
});

test('settle makes everything durable and is no step', async () => {
  const w = world();
  await w.makeDirectory('/s/d');
  await write(w, '/s/d/f', 'f');
  const steps = w.steps;
  w.settle();
  assert.equal(w.steps, steps);
  assert.deepEqual([w.unsyncedFiles(), w.unsyncedDirectories()], [[], []]);
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/d/f'), 'f');
});
