// What rounds of a real hastd ask of a store, and what is done about damage there: an idle firing
// asks nothing, no round lists, a round makes four objects beside its packs at most; a byte that
// turned over in a pack is found by `verify --deep` on the primary, and the next round mends the
// newest point.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { directoryPlace, strictPlace } from './archive-places.js';
import { ARCHIVE, ArchiveScene } from './archive-scene.js';
import { seedFromEnv } from './guest.js';
import { seededBytes } from './images.js';
import { listen } from './steps.js';

const SEED = seedFromEnv();
const SIZE = 16 * MIB;
/** head, point, epoch and the identity; with its packs all that a round puts. */
const PUTS_BESIDE_PACKS = 4;
const LIST = /^GET \/bucket\/?$/;

test('an idle firing asks nothing, no round lists, few objects are made', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const { place, s3 } = await strictPlace(t);
  const options = { sizeBytes: SIZE, random: seededRandom(SEED) };
  const scene = await ArchiveScene.make(t, () => place, options);
  await scene.begin();
  await scene.disk.write(0, seededBytes(SEED, 6 * MIB));
  const images = new Map<number, Buffer>();
  const counts: number[] = [];
  for (let round = 1; round <= 4; round += 1) {
    const before = { seen: s3.seen.length, packs: await place.packs() };
    const number = await scene.point();
    images.set(number, readFileSync(scene.node.image));
    const seen = s3.seen.slice(before.seen);
    const packs = (await place.packs()) - before.packs;
    const puts = seen.filter((line) => line.startsWith('PUT '));
    assert.ok(packs > 0 && puts.length <= packs + PUTS_BESIDE_PACKS, puts.join('\n'));
    const lists = seen.filter((line) => LIST.test(line));
    assert.deepEqual(lists, []);
    const { requests } = await scene.lastRound();
    assert.deepEqual([requests?.put, requests?.list], [puts.length, 0], 'as `rounds` says');
    counts.push(seen.length);
    await scene.disk.change(3, 256 * 1024);
  }
  t.diagnostic(`requests of rounds: ${counts.join(', ')}`);
  await scene.point();
  const seen = s3.seen.length;
  assert.equal((await scene.sync()).outcome, 'nothing');
  const heard = listen(scene.node);
  scene.configure(`${place.statements}  schedule "*/5 * * * * *"`);
  await scene.node.ask('reload');
  await heard.line(/nothing is dirty, no point is made/);
  assert.deepEqual(s3.seen.slice(seen), [], 'nothing was asked');
  for (const [number, image] of images) {
    assert.ok((await scene.restored(number)).equals(image), `point ${number}`);
  }
});

test('a byte turns over in a pack: verify --deep finds it, the next round mends it', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const options = { sizeBytes: SIZE, random: seededRandom(SEED) };
  const scene = await ArchiveScene.make(t, directoryPlace, options);
  const { node, disk, url } = scene;
  await scene.begin();
  await disk.write(0, seededBytes(SEED, 6 * MIB));
  const first = await scene.point();
  const image = readFileSync(node.image);
  const deep = await node.ctl('verify', 'vm1', '--deep');
  assert.equal(deep.status, 0, deep.stderr);
  flipByte(join(scene.folder, 'store/vm1/packs'));
  const tables = await node.ctl('verify', 'vm1');
  assert.equal(tables.status, 0, 'the index is whole');
  const found = await node.ctl('verify', 'vm1', '--deep');
  assert.equal(found.status, 7, found.stdout + found.stderr);
  const damaged = await scene.hastctl('restore', `${url}@${first}`, join(scene.folder, 'x.img'));
  assert.equal(damaged.status, 74, 'no byte that is not right');
  const second = await scene.point();
  assert.ok(second > first);
  assert.equal((await node.ctl('verify', 'vm1', '--deep')).status, 0);
  await scene.ask('verify', `${url}@${second}`);
  assert.ok((await scene.restored('latest')).equals(image));
  const older = await scene.hastctl('verify', `${url}@${first}`);
  assert.equal(older.status, 7, 'an older point keeps what it had');
  assert.equal((await scene.sync()).outcome, 'nothing', 'it is mended once');
  const { data, driftChunks, name } = await scene.target();
  assert.deepEqual([data, name], ['clean', ARCHIVE]);
  assert.ok(driftChunks > 0);
});

/** In the middle of the largest pack: of a frame. */
function flipByte(folder: string): void {
  const packs = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.includes('/'))
    .map((name) => join(folder, name))
    .sort((one, other) => statSync(other).size - statSync(one).size);
  const [pack = ''] = packs;
  const bytes = readFileSync(pack);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(pack, bytes);
}
