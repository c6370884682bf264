// The crash world itself: what a power failure may take and what it must leave. Everything that is
// tested in this world rests on these.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { FilesError } from '../../src/base/files.js';
import { publish } from '../../src/base/publish.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { CrashWorld, type LossClass, WorldStopped } from './memory-files.js';

const SEED = Number(process.env['HAST_SEED'] ?? 1);
const RANDOM = seededRandom(SEED);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (world: CrashWorld, path: string): string | null => {
  const content = world.peek(path);
  return content && new TextDecoder().decode(content);
};
const errnoOf = (error: unknown): string =>
  error instanceof FilesError && error.fault.code === 'FILE_FAILED' ? error.fault.errno : 'none';
const failsWith = (errno: string) => (error: unknown) => {
  assert.equal(errnoOf(error), errno, String(error));
  return true;
};

/** A world with durable /s/old = "old". */
function world(options = {}): CrashWorld {
  const made = new CrashWorld(options);
  made.plant('/s/old', bytes('old'));
  return made;
}

async function write(into: CrashWorld, path: string, content: string): Promise<void> {
  const handle = await into.open(path, 'truncate');
  await handle.write(bytes(content), 0);
  await handle.close();
}

async function sync(into: CrashWorld, path: string): Promise<void> {
  const handle = await into.open(path, 'write');
  await handle.sync();
  await handle.close();
}

/** 'pending' if it has not settled when everything that could go on has gone on. */
async function settled(promise: Promise<unknown>): Promise<string> {
  const idle = new Promise<string>((resolve) => setImmediate(() => resolve('pending')));
  const outcome = promise.then(
    () => 'done',
    (error) => codeOf(error) ?? String(error),
  );
  return Promise.race([outcome, idle]);
}

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
