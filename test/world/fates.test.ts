// A crash that treats each un-synced change as it is told: what is listed, what each fate leaves,
// and when two worlds count as equal. test/exhaust enumerates on this.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECTOR_BYTES } from '../../src/base/units.js';
import type { Fate, Torn } from './changes.js';
import type { CrashWorld } from './memory-files.js';
import { bytes, RANDOM, sync, text, world, write } from './small-world.js';

/** The world after a crash with these fates, by the position of the change. */
function after(w: CrashWorld, ...fates: readonly Fate[]): CrashWorld {
  const changes = w.unsynced();
  assert.equal(changes.length, fates.length, 'each change has its fate');
  const named = changes.map(({ sequence }, at) => [sequence, fates[at] ?? 'kept'] as const);
  return w.afterCrash({ fates: new Map(named) }, RANDOM);
}

const lettersOf = (w: CrashWorld): string => {
  const content = text(w, '/s/old') ?? '';
  let letters = '';
  for (let at = 0; at < content.length; at += SECTOR_BYTES) letters += content[at];
  return letters.replaceAll('\0', '-');
};

test('writes of a file are lost one by one', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('AAA'), 0);
  await handle.write(bytes('BB'), 1);
  assert.deepEqual(
    w.unsynced().map(({ path, what, sectors, grows }) => ({ path, what, sectors, grows })),
    [
      { path: '/s/old', what: 'write', sectors: 1, grows: false },
      { path: '/s/old', what: 'write', sectors: 1, grows: false },
    ],
  );
  assert.equal(text(after(w, 'kept', 'kept'), '/s/old'), 'ABB');
  assert.equal(text(after(w, 'kept', 'lost'), '/s/old'), 'AAA');
  assert.equal(text(after(w, 'lost', 'kept'), '/s/old'), 'oBB');
  assert.equal(text(after(w, 'lost', 'lost'), '/s/old'), 'old');
  assert.equal(text(w.afterCrash({ fates: new Map() }, RANDOM), '/s/old'), 'ABB', 'none is kept');
});

test('a write is torn at its sectors', async () => {
  const w = world();
  w.plant('/s/old', bytes('o'.repeat(3 * SECTOR_BYTES)));
  const handle = await w.open('/s/old', 'write');
  // From within the first sector to within the fifth: two more than there were.
  await handle.write(bytes('N'.repeat(4 * SECTOR_BYTES)), 12);
  const [change] = w.unsynced();
  assert.deepEqual([change?.sectors, change?.grows], [5, true]);
  const leaves: readonly [Torn, string][] = [
    ['first', 'oNN'],
    ['second', 'oooNN'],
    ['alternate', 'ooN-N'],
    ['size', 'ooo--'],
  ];
  for (const [torn, left] of leaves) assert.equal(lettersOf(after(w, { torn })), left, `${torn}`);
  const seeded = new Set(Array.from({ length: 40 }, (_, n) => lettersOf(after(w, { torn: n }))));
  assert.ok(seeded.size > 8, 'seeds differ');
  assert.equal(lettersOf(after(w, { torn: 7 })), lettersOf(after(w, { torn: 7 })), 'and repeat');
});

test('zeroes are torn too; a truncation is whole or lost', async () => {
  const w = world();
  w.plant('/s/old', bytes('o'.repeat(4 * SECTOR_BYTES)));
  const handle = await w.open('/s/old', 'write');
  handle.zeroNow(0, 2 * SECTOR_BYTES);
  await handle.truncate(3 * SECTOR_BYTES);
  assert.deepEqual(
    w.unsynced().map(({ what, sectors }) => [what, sectors]),
    [
      ['zero', 2],
      ['truncate', 0],
    ],
  );
  assert.equal(lettersOf(after(w, { torn: 'second' }, 'lost')), 'o-oo');
  assert.equal(lettersOf(after(w, 'lost', 'kept')), 'ooo');
});

test('of one entry no later change survives an earlier lost one', async () => {
  const w = world();
  await write(w, '/s/new', 'new');
  await sync(w, '/s/new');
  await w.rename('/s/new', '/s/old');
  await w.remove('/s/old');
  assert.deepEqual(
    w.unsynced().map(({ path, what }) => [path, what]),
    [
      ['/s/new', 'entry'],
      ['/s/old', 'entry'],
      ['/s/old', 'entry'],
    ],
  );
  const left = (...fates: Fate[]) => {
    const next = after(w, ...fates);
    return [text(next, '/s/old'), text(next, '/s/new')];
  };
  assert.deepEqual(left('kept', 'kept', 'kept'), [null, null]);
  assert.deepEqual(left('kept', 'kept', 'lost'), ['new', null]);
  assert.deepEqual(left('kept', 'lost', 'kept'), ['old', 'new'], 'a removal of what is not there');
  assert.deepEqual(left('lost', 'kept', 'kept'), ['old', null]);
});

test('changes of a file that may come back are listed, of one that is gone are not', async () => {
  const w = world();
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('A'), 0);
  await w.remove('/s/old');
  assert.deepEqual(
    w.unsynced().map(({ what }) => what),
    ['write', 'entry'],
  );
  assert.equal(text(after(w, 'kept', 'lost'), '/s/old'), 'Ald');
  assert.equal(text(after(w, 'lost', 'lost'), '/s/old'), 'old');
  await w.syncDirectory('/s');
  assert.deepEqual(w.unsynced(), []);
});

test('equal worlds have the same fingerprint, others have not', async () => {
  const prints = new Map<string, string>();
  const of = async (name: string, change: (w: CrashWorld) => Promise<unknown>) => {
    const w = world();
    w.plant('/s/big', 200_000);
    await change(w);
    prints.set(name, w.fingerprint());
  };
  await of('nothing', async () => {});
  await of('content', (w) => write(w, '/s/old', 'olD'));
  await of('name', (w) => w.rename('/s/old', '/s/other'));
  await of('another file', (w) => write(w, '/s/x', ''));
  await of('a size', async (w) => (await w.open('/s/big', 'write')).truncate(200_001));
  await of('zeroes for a hole', async (w) =>
    (await w.open('/s/big', 'write')).write(new Uint8Array(512), 100_000),
  );
  assert.equal(new Set(prints.values()).size, prints.size, JSON.stringify([...prints]));
  const w = world();
  w.plant('/s/big', 200_000);
  const handle = await w.open('/s/old', 'write');
  await handle.write(bytes('x'), 0);
  assert.notEqual(w.fingerprint(), prints.get('nothing'));
  assert.equal(w.fingerprint(/old$/), w.afterCrash('all', RANDOM).fingerprint(/old$/), 'left out');
  await handle.write(bytes('o'), 0);
  assert.equal(w.fingerprint(), prints.get('nothing'), 'whatever was there meanwhile');
});
