// `hastctl repack` of a real hastd: what it says beforehand is what its round sends, though nothing
// is dirty; the pack that was mostly dead stays as long as an older point needs it, and goes with
// that one; every point is read back from the url alone.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import type { RepackAnswer } from '../../src/control/retention-api.js';
import { directoryPlace } from './archive-places.js';
import { ArchiveScene } from './archive-scene.js';
import { seedFromEnv } from './guest.js';
import { seededBytes } from './images.js';

const SEED = seedFromEnv();
const [FIRST, CHANGED] = [12 * MIB, 9 * MIB];
/** More than a point is kept from a prune. */
const LATER_HOURS = 30;

async function repack(scene: ArchiveScene, ...flags: readonly string[]) {
  const answer = (await scene.node.ask('repack', 'vm1', ...flags)) as RepackAnswer;
  const [archive] = answer.archives;
  assert.ok(archive !== undefined && answer.archives.length === 1);
  return archive;
}

test('a pack that is mostly dead goes with the last older point that needs it', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const scene = await ArchiveScene.make(t, directoryPlace, {
    sizeBytes: 16 * MIB,
    random: seededRandom(SEED),
    ofArchive: 'retain last 1',
    sealed: 'key',
  });
  const { node, disk, folder } = scene;
  const store = join(folder, 'store/vm1');
  const packs = (): Map<string, number> =>
    new Map(
      readdirSync(join(store, 'packs'), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.length > 60)
        .map((name) => [name, statSync(join(store, 'packs', name)).size]),
    );
  await scene.begin();
  await disk.write(0, seededBytes(SEED, FIRST));
  await scene.point();
  const [[large] = assert.fail('it has a pack')] = [...packs()].sort(([, a], [, b]) => b - a);
  assert.equal((await repack(scene)).packs, 0, 'all is needed');
  await disk.write(0, seededBytes(SEED + 1, CHANGED));
  await scene.point();
  scene.hoursAhead(LATER_HOURS);
  await scene.prune();
  const image = readFileSync(node.image);
  const [second] = await scene.points();
  assert.ok(second !== undefined && packs().has(large));

  const before = packs();
  const plan = await repack(scene, '--dry-run');
  assert.deepEqual(
    [plan.packs, plan.packBytes, plan.holders.map(({ number }) => number)],
    [1, before.get(large), [second.number]],
  );
  const left = FIRST - CHANGED;
  assert.ok(plan.sendBytes >= left && plan.sendBytes < left + MIB, `${plan.sendBytes}`);
  assert.ok(Math.abs(plan.neededBytes - left) < MIB, `${plan.neededBytes}`);
  assert.equal((await scene.sync()).outcome, 'nothing', 'a dry run asks for nothing');
  assert.deepEqual(packs(), before);
  const bad = await node.ctl('repack', 'vm1', '--below', '101%');
  assert.equal(bad.status, 65, bad.stderr);
  const none = await node.ctl('repack', 'vm1', 'other');
  assert.match(none.stderr, /no target other \(there is: off\)/);

  assert.deepEqual(await repack(scene), { ...plan, dryRun: false });
  // The round is there, or this one waits for it.
  await scene.sync();
  const { outcome, sentBytes, point, requests } = await scene.lastRound();
  assert.deepEqual([outcome, sentBytes], ['committed', left]);
  assert.ok(requests !== undefined && requests.put <= plan.puts, `${requests?.put} PUTs`);
  assert.ok(packs().has(large), 'the older point needs it');
  const { archive } = await scene.target();
  assert.equal(archive?.points, 1);
  assert.ok(archive.lastStoredBytes >= left && archive.lastStoredBytes < left + MIB);
  const points = await scene.points();
  assert.deepEqual(
    points.map(({ number }) => number),
    [point],
  );
  assert.ok((await scene.restored(`${point}`)).equals(image));
  assert.equal((await repack(scene)).packs, 0, 'nothing is left to do');

  scene.hoursAhead(2 * LATER_HOURS);
  const pruned = await scene.prune();
  assert.deepEqual(
    pruned.removed.map(({ number }) => number),
    [second.number],
  );
  assert.ok(!packs().has(large), 'it went');
  assert.ok((await scene.restored('latest')).equals(image));
  await scene.ask('verify', scene.url);
});
