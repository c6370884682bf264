// The memory of what was verified: lost, rotten, or left by a crash it costs reading and never
// tells what is not so; what is no memory is left alone; packs that a prune removes leave it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Looks } from '../../src/archive/looks.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { retainLast } from '../../src/config/retain.js';
import { coded } from '../crash/ladder-material.js';
import { allOf, DAY_MS, Looker, MEMORY, MIB, packsOf, SHAPE } from '../restore/looker.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { makeArchive } from './directory-archive.js';
import { Sender } from './sender.js';

test('a crash at any step: the memory is as it was, or newer, and never too new', async () => {
  const { objects } = await makeArchive(19, { ...SHAPE, sizeBytes: 12 * MIB });
  const { packs } = await allOf(objects);
  let crashes = 0;
  for (let step = 0; ; step += 1) {
    const looker = new Looker(objects);
    await looker.look(5 * MIB);
    looker.world.settle();
    const first = (await Looks.open(looker.world, MEMORY)).looks.summary(looker.nowMs);
    assert.ok(first.neverBytes > 0 && first.neverBytes < packs.bytes);
    const { world } = looker;
    world.crashAt(world.steps + step);
    const ended = looker.look(5 * MIB).then(() => true, coded('FILE_FAILED'));
    const stopped = world.stopped.then(() => false);
    if (await Promise.race([ended, stopped])) break;
    for (const loss of ['none', 'all', 'seeded'] as const) {
      looker.world = world.afterCrash(loss, seededRandom(step));
      const { looks, fault } = await Looks.open(looker.world, MEMORY);
      assert.equal(fault, null);
      assert.ok(looks.summary(looker.nowMs).neverBytes <= first.neverBytes);
      const after = await looker.look(100 * MIB);
      assert.deepEqual([after.looked.neverBytes, after.damagedPacks], [0, []]);
    }
    crashes += 1;
    assert.ok(step < 40, 'a look has an end');
  }
  assert.ok(crashes > 8, `${crashes} crashes`);
});

test('a memory that is lost or rotten is made anew; what is none is left alone', async () => {
  const { objects } = await makeArchive(20, { ...SHAPE, sizeBytes: 12 * MIB });
  const looker = new Looker(objects);
  await looker.look(100 * MIB);
  const good = looker.world.peek(MEMORY);
  assert.ok(good);
  for (let at = 7; at < good.length; at += 5) {
    looker.world.flip(MEMORY, at);
    const { looks, fault } = await Looks.open(looker.world, MEMORY);
    assert.match(fault ?? '', /offsite.verified/, `byte ${at}`);
    assert.equal(looks.rows.size, 0);
    looker.world.flip(MEMORY, at);
  }
  looker.world.flip(MEMORY, 70);
  const anew = await looker.look(5 * MIB);
  assert.match(anew.forgotten ?? '', /checksum/);
  assert.ok(anew.looked.neverBytes > 0);
  await looker.world.remove(MEMORY);
  assert.equal((await looker.look(5 * MIB)).forgotten, null);
  looker.world.plant(MEMORY, new Uint8Array(0));
  assert.equal((await looker.look(5 * MIB)).forgotten, null);
  looker.world.plant(MEMORY, Buffer.from('root:x:0:0:root:/root:/bin/sh\n'));
  await assert.rejects(looker.look(5 * MIB), coded('MEMORY_OTHER'));
  assert.match(Buffer.from(looker.world.peek(MEMORY) ?? []).toString(), /^root/);
  looker.world.plant(MEMORY, good);
  const other = new Looker((await makeArchive(21, { ...SHAPE, sizeBytes: 4 * MIB })).objects);
  other.world = looker.world;
  await assert.rejects(other.look(5 * MIB), /another archive/);
});

/** Eight points, of which a prune leaves two. */
async function aging(objects: MemoryObjects): Promise<() => Promise<void>> {
  const sender = new Sender(seededRandom(5), objects, null, 40 * CHUNK_BYTES);
  for (let round = 0; round < 8; round += 1) {
    for (let times = 0; times < 8; times += 1) sender.write();
    sender.nowMs += DAY_MS;
    await sender.round();
  }
  sender.rule = retainLast(2);
  sender.write();
  return async () => {
    await sender.round();
    await sender.open();
    await sender.target?.prune(false);
    await sender.close();
  };
}

test('a prune at any moment of a look: nothing is damaged, what is gone is forgotten', async () => {
  let moments = 0;
  for (let moment = 1; ; moment += 4) {
    const objects: MemoryObjects = new Map();
    const prune = await aging(objects);
    const looker = new Looker(objects);
    const before = await looker.look(100 * MIB);
    let requests = 0;
    looker.weather = {
      turn: async () => {
        requests += 1;
        if (requests === moment) await prune();
      },
    };
    const { damagedPacks, damaged, index } = await looker.look(100 * MIB);
    assert.deepEqual([damagedPacks, damaged, index], [[], [], []], `at request ${moment}`);
    if (requests < moment) break;
    looker.weather = {};
    const known = new Set((await Looks.open(looker.world, MEMORY)).looks.rows.keys());
    const after = await looker.look(100 * MIB);
    const { rows } = (await Looks.open(looker.world, MEMORY)).looks;
    assert.ok(after.points.length < before.points.length, 'it was pruned');
    const gone = [...known].filter((name) => !rows.has(name));
    assert.ok(packsOf(objects).every((key) => gone.every((name) => !key.endsWith(name))));
    for (const name of rows.keys()) assert.ok(objects.has(`packs/${name.slice(0, 2)}/${name}`));
    moments += 1;
  }
  assert.ok(moments > 8, `${moments} moments`);
});
