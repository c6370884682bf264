// What a power failure takes of the crash world and what it must leave, change by change:
// everything that is tested in this world rests on it. By seed and at each step:
// memory-crashes.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LossClass } from './memory-files.js';
import { bytes, RANDOM, sync, text, world, write } from './small-world.js';

test('a write after a sync is lost alone', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('AAAA'), 0);
  await handle.sync();
  await handle.write(bytes('BB'), 2);
  assert.equal(text(w, '/s/old'), 'AABB');
  assert.deepEqual(w.unsyncedFiles(), ['/s/old']);
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), 'AAAA');
  assert.equal(text(w.afterCrash('none', RANDOM), '/s/old'), 'AABB');
  assert.equal(text(w.afterCrash({ only: '/s/old' }, RANDOM), '/s/old'), 'AAAA');
});

test('a sync covers what came before its call, not what came while it ran (H6)', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  handle.writeNow(bytes('1'), 0);
  const syncing = handle.sync();
  handle.writeNow(bytes('2'), 0);
  await syncing;
  assert.equal(text(w, '/s/old'), '2ld');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), '1ld');
});

test('truncation is un-synced as a write is', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await handle.truncate(1);
  assert.equal(text(w, '/s/old'), 'o');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), 'old');
  const emptied = world();
  await emptied.open('/s/old', 'truncate');
  assert.equal(text(emptied, '/s/old'), '');
  assert.equal(text(emptied.afterCrash('all', RANDOM), '/s/old'), 'old');
});

test('a new file needs a sync of its directory, and its bytes their own', async () => {
  const w = world();
  await write(w, '/s/new', 'new');
  await sync(w, '/s/new');
  assert.deepEqual(w.unsyncedDirectories(), ['/s']);
  assert.equal(w.afterCrash('all', RANDOM).peek('/s/new'), null);
  const other = world();
  await write(other, '/s/new', 'new');
  await other.syncDirectory('/s');
  assert.equal(text(other.afterCrash('all', RANDOM), '/s/new'), '');
  await sync(other, '/s/new');
  assert.equal(text(other.afterCrash('all', RANDOM), '/s/new'), 'new');
});

test('a rename without a sync of the directory is lost: the old names stand', async () => {
  const w = world();
  await write(w, '/s/old.new', 'new');
  await sync(w, '/s/old.new');
  await w.syncDirectory('/s');
  await w.rename('/s/old.new', '/s/old');
  assert.deepEqual(await w.list('/s'), ['old']);
  for (const loss of ['all', { only: '/s' }] as LossClass[]) {
    const next = w.afterCrash(loss, RANDOM);
    assert.deepEqual([text(next, '/s/old'), text(next, '/s/old.new')], ['old', 'new']);
  }
  const next = w.afterCrash('none', RANDOM);
  assert.deepEqual([text(next, '/s/old'), text(next, '/s/old.new')], ['new', null]);
});

test('a rename that survives may carry content that does not', async () => {
  const w = world();
  await write(w, '/s/old.new', 'new');
  await w.rename('/s/old.new', '/s/old');
  await w.syncDirectory('/s');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), '', 'an empty file under the name');
  assert.deepEqual(w.unsyncedFiles(), ['/s/old'], 'named as it is named now');
});

test('a removal without a sync of the directory comes back', async () => {
  const w = world();
  await w.remove('/s/old');
  assert.equal(w.peek('/s/old'), null);
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/old'), 'old');
  await w.syncDirectory('/s');
  assert.equal(w.afterCrash('all', RANDOM).peek('/s/old'), null);
});

test('a rename between directories needs both synced', async () => {
  const move = async (synced: string[]) => {
    const w = world();
    w.plant('/t/x', bytes('x'));
    await w.rename('/s/old', '/t/old');
    for (const directory of synced) await w.syncDirectory(directory);
    const next = w.afterCrash('all', RANDOM);
    return [text(next, '/s/old'), text(next, '/t/old')];
  };
  assert.deepEqual(await move([]), ['old', null]);
  assert.deepEqual(await move(['/t']), ['old', 'old']);
  assert.deepEqual(await move(['/s']), [null, null], 'gone: the directory to sync first is /t');
  assert.deepEqual(await move(['/t', '/s']), [null, 'old']);
});

test('a file left under two names is one file', async () => {
  const w = world();
  w.plant('/t/x', bytes('x'));
  await w.rename('/s/old', '/t/old');
  await w.syncDirectory('/t');
  const next = w.afterCrash('all', RANDOM);
  next.openNow('/t/old', 'write').writeNow(bytes('O'), 0);
  assert.equal(text(next, '/s/old'), 'Old');
});

test('a sync of a directory covers what came before its call', async () => {
  const w = world();
  w.openNow('/s/early', 'exclusive');
  const syncing = w.syncDirectory('/s');
  w.openNow('/s/late', 'exclusive');
  await syncing;
  assert.deepEqual(await w.afterCrash('all', RANDOM).list('/s'), ['early', 'old']);
});

test('a directory made and not synced in its parent is lost with all that is in it', async () => {
  const w = world();
  await w.makeDirectory('/s/d');
  await write(w, '/s/d/f', 'f');
  await sync(w, '/s/d/f');
  await w.syncDirectory('/s/d');
  assert.deepEqual(await w.afterCrash('all', RANDOM).list('/s'), ['old']);
  await w.syncDirectory('/s');
  assert.equal(text(w.afterCrash('all', RANDOM), '/s/d/f'), 'f');
});

test('one file alone loses its content, others keep theirs', async () => {
  const w = world();
  w.plant('/s/a', bytes('a'));
  await write(w, '/s/a', 'A');
  await write(w, '/s/old', 'OLD');
  assert.deepEqual(w.unsyncedFiles(), ['/s/a', '/s/old']);
  const next = w.afterCrash({ only: '/s/a' }, RANDOM);
  assert.deepEqual([text(next, '/s/a'), text(next, '/s/old')], ['a', 'OLD']);
  assert.deepEqual(next.unsyncedFiles(), [], 'what survived is on the disk');
});

test('what a dead process wrote is there, and a power failure later takes it', async () => {
  const w = world();
  await write(w, '/s/new', 'new');
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('N'), 0);
  const killed = w.afterKill();
  for (const path of ['/s/old', '/s/new']) assert.equal(text(killed, path), text(w, path));
  const lost = killed.afterCrash('all', RANDOM);
  assert.deepEqual([text(lost, '/s/old'), text(lost, '/s/new')], ['old', null]);
  assert.deepEqual(killed.unsynced(), w.unsynced());
});

test('after the death of a process a sync covers what that had written', async () => {
  const w = world();
  await write(w, '/s/new', 'new');
  await w.rename('/s/old', '/s/older');
  const killed = w.afterKill();
  await sync(killed, '/s/new');
  await killed.syncDirectory('/s');
  const lost = killed.afterCrash('all', RANDOM);
  assert.equal(text(lost, '/s/new'), 'new');
  assert.deepEqual(await lost.list('/s'), ['new', 'older']);
  assert.deepEqual(await w.afterCrash('all', RANDOM).list('/s'), ['old'], 'a world of its own');
});
