// A real hastd that verifies its archive by age: what it looked at is in status and survives a
// kill; a byte that turns over in a pack is an alarm a month later, when the pack is due again, the
// next round sends what it held, and the newest point reads as its cut. A pack that is gone is an
// alarm within a day.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { directoryPlace } from './archive-places.js';
import { ARCHIVE, ArchiveScene } from './archive-scene.js';
import { seedFromEnv } from './guest.js';
import { seededBytes } from './images.js';
import { until } from './steps.js';

const SEED = seedFromEnv();
const SIZE = 16 * MIB;

test('packs are looked at by age; what is damaged is an alarm, and is sent again', async (t) => {
  t.diagnostic(`HAST_SEED=${SEED}`);
  const options = { sizeBytes: SIZE, random: seededRandom(SEED), ofArchive: 'verify 64M' };
  const scene = await ArchiveScene.make(t, directoryPlace, options);
  const { node, disk, url } = scene;
  await scene.begin();
  assert.equal((await scene.target()).packs, undefined, 'nothing is known yet');
  await disk.write(0, seededBytes(SEED, 6 * MIB));
  const first = await scene.point();
  const image = readFileSync(node.image);
  const packs = async () => (await scene.target()).packs;
  await until('all is looked at', async () => (await packs())?.neverBytes === 0);
  const looked = await packs();
  assert.ok(looked && looked.bytes > 6 * MIB && looked.damaged === 0);
  assert.equal(looked.in30DaysBytes, looked.bytes);
  assert.ok(existsSync(join(scene.folder, `a/vm1/${ARCHIVE}.verified`)));
  const { stdout } = await node.ctl('status');
  assert.match(stdout, /100 % of .* looked at within 30 days; the oldest look \d+s ago/);

  await scene.die();
  const [largest = '', ...others] = packsBelow(join(scene.folder, 'store/vm1/packs'));
  const bytes = readFileSync(largest);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(largest, bytes);
  await scene.comeBack();
  await until('what was looked at is known', async () => (await packs())?.neverBytes === 0);
  assert.equal((await packs())?.damaged, 0, 'it is not due');
  scene.hoursAhead(31 * 24);
  await until('a month later it is found', async () => (await packs())?.damaged === 1);
  await until('its chunks, too', async () => (await scene.target()).data === 'suspect');
  const check = await node.ctl('status', '--check');
  assert.equal(check.status, 2, check.stdout);
  assert.match(node.log(), /a pack of the archive is damaged/);
  const second = await scene.point();
  assert.ok(second > first);
  await scene.ask('verify', `${url}@${second}`);
  assert.ok((await scene.restored('latest')).equals(image));
  assert.equal((await scene.target()).data, 'clean');
  assert.equal((await packs())?.damaged, 1, 'an older point needs it');

  const memory = join(scene.folder, 'memory');
  const words = ['verify', url, '--budget', '64M', '--memory', memory];
  const alone = await scene.hastctl(...words);
  assert.equal(alone.status, 7, alone.stdout + alone.stderr);
  const facts = alone.json as { damagedPacks: unknown[]; damaged: { points: number[] }[] };
  assert.equal(facts.damagedPacks.length, 1);
  assert.deepEqual([...new Set(facts.damaged.flatMap(({ points }) => points))], [first]);

  // Perhaps one with an index: then its table is missed, too.
  const [gone = ''] = others;
  rmSync(gone);
  scene.hoursAhead(33 * 24);
  await until('a day later it is missed', async () => ((await packs())?.damaged ?? 0) > 1);
});

/** The largest first. */
function packsBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.includes('/'))
    .map((name) => join(folder, name))
    .sort((one, other) => statSync(other).size - statSync(one).size);
}
