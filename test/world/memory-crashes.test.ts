// Crashes of the crash world by seed and at every step: what may survive of several changes, a
// world that has stopped, and a publication (publish.ts) that leaves the old or the new.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { publish } from '../../src/base/publish.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { CrashWorld, type LossClass, WorldStopped } from './memory-files.js';
import { bytes, RANDOM, SEED, text, world, write } from './small-world.js';

/** 'pending' if it has not settled when everything that could go on has gone on. */
async function settled(promise: Promise<unknown>): Promise<string> {
  const idle = new Promise<string>((resolve) => setImmediate(() => resolve('pending')));
  const outcome = promise.then(
    () => 'done',
    (error) => codeOf(error) ?? String(error),
  );
  return Promise.race([outcome, idle]);
}

test('seeded: writes are torn at sectors, never within one, in any subset', (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const seen = new Set<string>();
  for (let run = 0; run < 300; run += 1) {
    const w = new CrashWorld();
    w.plant('/f', new Uint8Array(2048).fill(1));
    const handle = w.openNow('/f', 'write');
    handle.writeNow(new Uint8Array(1024).fill(2), 256);
    const after = w.afterCrash('seeded', seededRandom(SEED + run)).peek('/f') ?? bytes('');
    assert.equal(after.length, 2048);
    assert.deepEqual(new Set(after.subarray(0, 256)), new Set([1]));
    assert.deepEqual(new Set(after.subarray(1280)), new Set([1]));
    const sectors = [
      after.subarray(256, 512),
      after.subarray(512, 1024),
      after.subarray(1024, 1280),
    ];
    for (const sector of sectors) assert.equal(new Set(sector).size, 1, 'a sector is old or new');
    seen.add(sectors.map((sector) => sector[0]).join(''));
  }
  assert.equal(seen.size, 8, 'every subset of three sectors is met');
});

test('seeded: two un-synced writes may survive in either order of age', () => {
  const seen = new Set<string>();
  for (let run = 0; run < 100; run += 1) {
    const w = new CrashWorld();
    w.plant('/f', bytes('--'));
    const handle = w.openNow('/f', 'write');
    handle.writeNow(bytes('1'), 0);
    handle.writeNow(bytes('2'), 1);
    seen.add(text(w.afterCrash('seeded', seededRandom(SEED + run)), '/f') ?? '');
  }
  assert.deepEqual([...seen].sort(), ['--', '-2', '1-', '12']);
});

test('seeded: a file that grew may have its size and not its bytes', () => {
  const seen = new Set<string>();
  for (let run = 0; run < 200; run += 1) {
    const w = world();
    w.openNow('/s/old', 'write').writeNow(bytes('!'), 4);
    seen.add(text(w.afterCrash('seeded', seededRandom(SEED + run)), '/s/old') ?? '');
  }
  assert.deepEqual([...seen].sort(), ['old', 'old\0!', 'old\0\0'].sort());
});

test('seeded: changes of one entry survive in order, of different entries in any', async () => {
  const seen = new Set<string>();
  for (let run = 0; run < 200; run += 1) {
    const w = new CrashWorld();
    w.plant('/a', bytes('a'));
    await w.open('/b', 'exclusive');
    await w.rename('/a', '/c');
    await w.remove('/c');
    const next = w.afterCrash('seeded', seededRandom(SEED + run));
    seen.add((await next.list('/')).join(''));
  }
  assert.deepEqual([...seen].sort(), ['', 'a', 'ab', 'b', 'bc', 'c']);
});

test('seeded: a lost rename takes later changes of its names with it', async () => {
  const seen = new Set<string>();
  for (let run = 0; run < 100; run += 1) {
    const w = world();
    await w.rename('/s/old', '/s/kept');
    await w.open('/s/old', 'exclusive');
    const next = w.afterCrash('seeded', seededRandom(SEED + run));
    seen.add(`${text(next, '/s/old')} ${text(next, '/s/kept')}`);
  }
  assert.deepEqual([...seen].sort(), [' old', 'null old', 'old null'], 'never lost altogether');
});

test('the same seed gives the same survivors', async () => {
  const build = async (random: Random) => {
    const w = world();
    for (const name of ['x', 'y', 'z']) await write(w, `/s/${name}`, name.repeat(3000));
    const next = w.afterCrash('seeded', random);
    return [await next.list('/s'), ['x', 'y', 'z'].map((name) => text(next, `/s/${name}`))];
  };
  for (let seed = 0; seed < 10; seed += 1) {
    assert.deepEqual(await build(seededRandom(seed)), await build(seededRandom(seed)));
  }
});

test('publish leaves the old or the new at every crash point and in every loss class', async () => {
  const clean = world();
  await publish(clean, '/s/old', bytes('new'));
  const steps = clean.steps;
  assert.equal(steps, 5, 'create, write, sync, rename, sync of the directory');
  assert.equal(text(clean.afterCrash('all', RANDOM), '/s/old'), 'new');
  for (let step = 0; step < steps; step += 1) {
    const crash = async (): Promise<CrashWorld> => {
      const w = world();
      w.crashAt(step);
      assert.equal(await settled(publish(w, '/s/old', bytes('new'))), 'pending');
      assert.match(w.stoppedAt ?? '', new RegExp(`^step ${step}: `));
      return w;
    };
    const losses: LossClass[] = ['none', 'all', ...Array<LossClass>(20).fill('seeded')];
    const w = await crash();
    losses.push(...w.unsyncedFiles().map((only) => ({ only })));
    losses.push(...w.unsyncedDirectories().map((only) => ({ only })));
    for (const loss of losses) {
      const left = text(w.afterCrash(loss, RANDOM), '/s/old');
      assert.ok(left === 'old' || left === 'new', `step ${step} ${JSON.stringify(loss)}: ${left}`);
    }
  }
});

test('teeth: publishing without a sync of the file is caught', async () => {
  const w = world();
  await write(w, '/s/old.new', 'new');
  await w.rename('/s/old.new', '/s/old');
  await w.syncDirectory('/s');
  const left = new Set<string | null>();
  for (let run = 0; run < 30; run += 1) {
    left.add(text(w.afterCrash('seeded', seededRandom(run)), '/s/old'));
  }
  assert.ok(left.has(''), 'an empty file is what such a program finds');
});

test('a stopped world takes no step and answers nothing', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  let told = 0;
  w.onStop(() => {
    told += 1;
  });
  w.crashAt(1);
  await handle.write(bytes('X'), 0);
  assert.equal(await settled(handle.write(bytes('Y'), 1)), 'pending');
  assert.equal(w.stoppedAt, 'step 1: write /s/old 1 bytes at 1');
  assert.equal(told, 1);
  w.onStop(() => {
    told += 1;
  });
  assert.equal(told, 2, 'late listeners are told at once');
  assert.equal(await settled(w.stopped), 'done');
  assert.throws(() => handle.writeNow(bytes('Z'), 0), WorldStopped);
  assert.throws(() => handle.readNow(new Uint8Array(1), 0), WorldStopped);
  const later = [
    () => handle.read(new Uint8Array(1), 0),
    () => handle.size(),
    () => handle.sync(),
    () => handle.close(),
    () => w.open('/s/old', 'read'),
    () => w.readWhole('/s/old', 10),
    () => w.exists('/s/old'),
    () => w.list('/s'),
    () => w.remove('/s/none'),
    () => w.rename('/s/old', '/s/x'),
    () => w.makeDirectory('/s'),
    () => w.syncDirectory('/s'),
  ];
  for (const call of later) assert.equal(await settled(call()), 'pending', String(call));
  assert.equal(text(w, '/s/old'), 'Xld', 'the step of the crash took no effect');
  assert.equal(w.steps, 1);
});

test('an operation under way when the world stops has no effect', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  const writing = handle.write(bytes('X'), 0);
  w.stop();
  assert.equal(await settled(writing), 'pending');
  assert.equal(text(w, '/s/old'), 'old');
});
