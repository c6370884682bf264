// Bit rot in files that matter while a round runs only: the spill and the entry log. A start
// empties both; during a round what is read back must be what was written, or the round fails,
// names the place, and leaves its bits (H7, H17).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import type { FileHandle, Files } from '../../src/base/files.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { EntryLog } from '../../src/tracking/entry-log.js';
import { marksCover, same } from '../crash/checks.js';
import { another, ready, shape } from '../crash/ladder-material.js';
import { limited } from '../crash/limit.js';
import { STATE } from '../crash/nodes.js';
import type { Pair } from '../crash/pair.js';
import { CrashWorld } from '../world/memory-files.js';
import { DAMAGES, seedFromEnv } from './trial.js';

const LIMIT = limited(600_000);
const ENTRY_BYTES = 20;
const PIECE_BYTES = 4096 * ENTRY_BYTES;

const namedAs = (file: string) => (error: unknown) => {
  assert.equal(codeOf(error), 'FORMAT_BAD', String(error));
  assert.match(String(error), new RegExp(`${file} at \\d+: .*checksum differs`));
  return true;
};

/** The round that failed has lost no mark, and the next one is whole. */
async function goesOn(pair: Pair): Promise<void> {
  pair.connect();
  assert.equal(await pair.contact(), 'ready');
  const { point } = pair.target.state;
  assert.ok(point !== null, 'it has a point');
  marksCover(pair.primaryNode, pair.cutOf(point).image, 'after the round that failed');
  await pair.wholeRound();
  same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'the next round');
}

test('rot in TARGET.spill while a round needs it', LIMIT, async (t) => {
  const seed = seedFromEnv();
  t.diagnostic(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  const pair = await ready(seed, {}, shape);
  for (let damage = 0; damage < DAMAGES; damage += 1) {
    const { disk } = pair.primaryNode;
    const chunk = random.below(4);
    const content = (): Buffer => Buffer.alloc(CHUNK_BYTES, random.bytes(32));
    await disk.write(chunk * CHUNK_BYTES, content());
    pair.during = async (call) => {
      if (call !== 'begin') return;
      await disk.write(chunk * CHUNK_BYTES, content());
      assert.equal(pair.senderWorld.sizeNow(`${STATE}/b.spill`), CHUNK_BYTES, 'it is kept');
      pair.senderWorld.flip(`${STATE}/b.spill`, random.below(CHUNK_BYTES));
    };
    await assert.rejects(pair.round(), namedAs('b\\.spill'));
    pair.during = null;
    await goesOn(pair);
  }
});

test('rot in TARGET.entries: each piece is looked at before it is believed', LIMIT, async (t) => {
  const seed = seedFromEnv();
  t.diagnostic(`HAST_SEED=${seed}`);
  const random = seededRandom(seed);
  for (let damage = 0; damage < DAMAGES; damage += 1) {
    const world = new CrashWorld();
    const handle = await world.open('/b.entries', 'truncate');
    const log = new EntryLog(handle);
    const added = Array.from({ length: 2 * 4096 }, (_, chunk) => chunk);
    for (const chunk of added) log.add(chunk, new Uint8Array(16).fill(chunk));
    const at = random.below(2 * PIECE_BYTES);
    if (damage % 5 === 4) await handle.truncate(at);
    else world.flip('/b.entries', at);
    const before = Math.floor(at / PIECE_BYTES) * 4096;
    let handed = 0;
    await assert.rejects(
      log.replay((chunk) => {
        assert.equal(chunk, handed);
        handed += 1;
      }),
      /b\.entries/,
    );
    assert.equal(handed, before, 'nothing of the bad piece');
  }
});

test(
  'a rotten entry log fails the round at step 7, and no entry is wrong (H7)',
  LIMIT,
  async () => {
    let rots = false;
    const pair = await ready(5, { primaryFiles: (files) => rotting(files, () => rots) }, shape);
    await another(pair);
    await pair.guest.some(pair.primaryNode.disk, 4);
    rots = true;
    await assert.rejects(pair.round(), namedAs('b\\.entries'));
    rots = false;
    await goesOn(pair);
    for (const cut of pair.cuts) await pair.guest.putBack(pair.primaryNode.disk, cut.image);
    await pair.wholeRound();
    same(pair.replicaNode.bytes(), pair.primaryNode.bytes(), 'older content put back');
  },
);

/** Files whose entry log reads back with a bit that is another. */
const rotting = (real: Files, rots: () => boolean): Files =>
  new Proxy(real, {
    get(files, name) {
      const value: unknown = Reflect.get(files, name, files);
      if (name !== 'open') return typeof value === 'function' ? value.bind(files) : value;
      return async (...[path, mode]: Parameters<Files['open']>) => {
        const handle = await files.open(path, mode);
        return path.endsWith('.entries') ? rottingHandle(handle, rots) : handle;
      };
    },
  });

const rottingHandle = (real: FileHandle, rots: () => boolean): FileHandle =>
  new Proxy(real, {
    get(handle, name) {
      const value: unknown = Reflect.get(handle, name, handle);
      if (name !== 'read') return typeof value === 'function' ? value.bind(handle) : value;
      return async (into: Uint8Array, offset: number) => {
        const got = await handle.read(into, offset);
        if (rots()) into[1] = (into[1] ?? 0) ^ 4;
        return got;
      };
    },
  });
