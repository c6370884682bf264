// hastctl as a process on an archive in a directory: verify, points and pins, diff, and what is
// said of what is not there or was written wrong.
import assert from 'node:assert/strict';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { makeArchive, plugIn } from '../archive/directory-archive.js';
import { ACCESS_KEY, REGION, SECRET_KEY, startStrictS3 } from '../store/strict-s3.js';
import { assertImage, plugged, SHAPE } from './plugged-archive.js';
import { hastctl, parsed } from './run-hastctl.js';

test('verify finds a flipped byte, names it, goes on, and is 7', async (t) => {
  const { folder, url } = await plugged(t);
  const whole = await hastctl(['verify', url]);
  assert.equal(whole.status, 0, whole.err);
  assert.match(whole.out, /4 points: \d+ chunks read and checked/);
  assert.equal((await hastctl(['verify', url, '--quick'])).status, 0);
  assert.match((await hastctl(['verify', `${url}@2`, '--sample', '20%'])).out, /sample of 20 %/);
  const packs = readdirSync(join(folder, 'vm1/packs'), { recursive: true, encoding: 'utf8' });
  let found = 0;
  for (const name of packs.filter((each) => each.includes('/'))) {
    const pack = join(folder, 'vm1/packs', name);
    const good = readFileSync(pack);
    const bad = Buffer.from(good);
    bad[200] = (bad[200] ?? 0) ^ 1;
    writeFileSync(pack, bad);
    const result = await hastctl(['verify', url, '--json']);
    writeFileSync(pack, good);
    if (result.status === 0) continue; // of the first pass, and needed by nothing
    assert.equal(result.status, 7, result.err);
    const [chunk] = parsed(result)['damaged'] as { places: { place: string; why: string }[] }[];
    assert.ok(chunk?.places.some(({ place, why }) => place.includes(name) && why !== null));
    found += 1;
    renameSync(pack, `${pack}.away`);
    const quick = await hastctl(['verify', url, '--quick']);
    assert.equal(quick.status, 7, quick.err);
    assert.ok(quick.out.includes(`${name}: it is not there; needed by point`), quick.out);
    renameSync(`${pack}.away`, pack);
    if (found === 2) break;
  }
  assert.equal(found, 2);
});

test('verify --budget goes on with its memory, finds what is damaged, and is 7', async (t) => {
  const { folder, url } = await plugged(t);
  const memory = join(folder, 'vm1.memory');
  const order = ['verify', url, '--budget', '64M', '--memory', memory];
  const whole = await hastctl(order);
  assert.equal(whole.status, 0, whole.err);
  assert.match(whole.out, /4 points: \d+ packs read, .* of \d+ packs of .* that they need/);
  assert.match(whole.out, /within 30 days 100 %, within 90 days 100 %; never 0 B; the oldest/);
  const facts = parsed(await hastctl([...order, '--json']));
  assert.equal(facts['checked'], 'age');
  assert.match(String((facts['looked'] as { oldest: string }).oldest), /^\d{4}-.*Z$/);
  const [name = ''] = readdirSync(join(folder, 'vm1/packs'), { recursive: true, encoding: 'utf8' })
    .filter((each) => each.includes('/'))
    .filter((each) => readFileSync(join(folder, 'vm1/packs', each)).length > 3 * 1024 * 1024);
  const pack = join(folder, 'vm1/packs', name);
  const bad = readFileSync(pack);
  bad[200] = (bad[200] ?? 0) ^ 1;
  writeFileSync(pack, bad);
  const rotten = await hastctl(order);
  assert.equal(rotten.status, 7, rotten.err);
  assert.match(rotten.out, /another digest than its name; needed by points 4, 3, 2, 1/);
  assert.match(rotten.out, /chunk \d+ at byte \d+ is damaged in points? /);
  assert.match(rotten.err, /1 pack damaged or missing: \d+ chunks, in points /);
  const wrong = async (...flags: string[]) => (await hastctl(['verify', ...flags])).status;
  assert.equal(await wrong(url, '--budget', '64M'), 64);
  assert.equal(await wrong(url, '--memory', memory), 64);
  assert.equal(await wrong(...order.slice(1), '--quick'), 64);
  assert.equal(await wrong(...order.slice(1), '--sample', '5%'), 64);
  assert.equal(await wrong(`${url}@2`, ...order.slice(2)), 64);
  assert.equal(await wrong(url, '--budget', '1M', '--memory', memory), 65);
  assert.equal(await wrong(url, '--budget', '1G', '--memory', join(folder, 'no/memory')), 74);
  writeFileSync(memory, 'root:x:0:0\n');
  assert.equal(await wrong(...order.slice(1)), 73);
  assert.equal(readFileSync(memory, 'utf8'), 'root:x:0:0\n');
});

test('points are listed; pinned, found by their name, and let go', async (t) => {
  const { url, path, images } = await plugged(t);
  const listed = parsed(await hastctl(['points', url, '--json']))['points'] as { number: number }[];
  assert.deepEqual(
    listed.map(({ number }) => number),
    [1, 2, 3, 4],
  );
  const pinned = await hastctl(['pin', `${url}@2`, 'before-upgrade']);
  assert.equal(pinned.status, 0, pinned.err);
  assert.match((await hastctl(['points', url])).out, /^@2 .* before-upgrade /m);
  assert.equal((await hastctl(['pin', `${url}@3`, 'before-upgrade'])).status, 2);
  assert.equal((await hastctl(['pin', `${url}@2`, 'another'])).status, 2);
  assert.equal((await hastctl(['pin', `${url}@2`, '77'])).status, 65);
  assert.equal((await hastctl(['restore', `${url}@before-upgrade`, path])).status, 0);
  assertImage(path, images[1]);
  assert.equal((await hastctl(['unpin', `${url}@before-upgrade`])).status, 0);
  assert.equal((await hastctl(['unpin', `${url}@before-upgrade`])).status, 1);
});

test('a point whose object is gone is listed as lost, and verify is 7', async (t) => {
  const { folder, url } = await plugged(t);
  const points = join(folder, 'vm1/points');
  const names = readdirSync(points, { recursive: true, encoding: 'utf8' }).sort();
  const second = names.filter((name) => statSync(join(points, name)).isFile())[1] ?? '';
  rmSync(join(points, second));
  const listed = await hastctl(['points', url]);
  assert.equal(listed.status, 0, listed.err);
  assert.match(listed.out, /^@2 .* LOST$/m);
  assert.match(listed.out, /LOST: .*: it is not there$/m);
  const verified = await hastctl(['verify', url, '--json']);
  assert.equal(verified.status, 7, verified.err);
  assert.deepEqual(parsed(verified)['damagedPoints'], [2]);
});

test('diff prints the ranges, of one archive or two', async (t) => {
  const { folder, url } = await plugged(t);
  const text = await hastctl(['diff', `${url}@1`, '2']);
  assert.equal(text.status, 0, text.err);
  assert.match(text.out, /^ {2}\d+ +\d+$/m);
  assert.match(text.out, /\d+ bytes \(.*\) differ in \d+ ranges?, by chunks of 64 KiB\n$/);
  const copy = plugIn(join(folder, 'copy'), (await makeArchive(21, SHAPE)).objects);
  assert.match((await hastctl(['diff', `${url}@3`, `${copy}@3`])).out, /they are equal\n$/);
});

test('what is not there is said, with what there is', async (t) => {
  const { folder, url, path } = await plugged(t);
  const unknown = await hastctl(['restore', `${url}@77`, path]);
  assert.equal(unknown.status, 1);
  assert.match(unknown.err, /has no point 77; it has 4 \(.*\), 3 \(.*1 \(/);
  for (const wrong of [`file://${folder}/vm2@latest`, `file://${folder}@latest`]) {
    const missing = await hastctl(['restore', wrong, path]);
    assert.equal(missing.status, 1, missing.err);
    assert.match(missing.err, /there is no archive; near it there is .*vm1 \(an archive is/);
  }
  const nothing = await hastctl(['restore', 'file:///nowhere/vm1@latest', path]);
  assert.match(nothing.err, /there is no archive \(an archive is named by/);
  assert.ok(!existsSync(path));
});

test('a bucket without credentials or a region: what to set is said', async () => {
  const alone = { AWS_EC2_METADATA_DISABLED: 'true', HOME: '/nowhere' };
  const denied = await hastctl(['points', 's3://a-bucket/vm1', '--region', 'r'], alone);
  assert.equal(denied.status, 2, denied.err);
  assert.match(denied.err, /AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile/);
  const key = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' };
  const failed = await hastctl(['points', 's3://a-bucket/vm1'], { ...alone, ...key });
  assert.equal(failed.status, 74, failed.err);
  assert.match(failed.err, /region in hast.conf, --region, AWS_REGION/);
});

test('wrong use is 64, a wrong value 65, with nothing done', async (t) => {
  const { url, path } = await plugged(t);
  for (const [args, status] of [
    [['restore', url, path], 64],
    // A point of a resource is hastd's, which only the configuration names.
    [['restore', 'vm1@latest', path], 72],
    [['restore', `${url}@2026-11-20T02:00`, path], 65],
    [['restore', `${url}@latest`, path, '--checksums', 'no'], 65],
    [['points', `${url}@2`], 64],
    [['points', 'vm1', '--key', path], 64],
    [['verify', url, '--deep'], 64],
    [['verify', 'vm1', '--quick'], 64],
    [['verify', url, '--sample', '0'], 65],
    [['verify', url, '--sample', '5%', '--quick'], 64],
    [['unpin', url], 64],
    [['diff', `${url}@1`, 'a b'], 65],
  ] as const) {
    const result = await hastctl([...args]);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`);
    assert.notEqual(result.err, '');
  }
  assert.ok(!existsSync(path));
});

test('a bucket in bad weather: the same commands, with the usual credentials', async (t) => {
  const { images, path, folder } = await plugged(t);
  const s3 = await startStrictS3('bucket');
  t.after(() => s3.close());
  const { objects } = await makeArchive(21, SHAPE);
  for (const [key, { bytes }] of objects) {
    s3.objects.set(`hast/vm1/${key}`, { bytes: Buffer.from(bytes), timeMs: 0 });
  }
  const random = seededRandom(31);
  const weathers = ['slow down', 'break off', 'reset before', null, null, null, null] as const;
  s3.weather = () => weathers[random.below(weathers.length)] ?? null;
  const env = { AWS_ACCESS_KEY_ID: ACCESS_KEY, AWS_SECRET_ACCESS_KEY: SECRET_KEY, HOME: folder };
  const options = ['--endpoint', s3.endpoint, '--region', REGION];
  const url = 's3://bucket/hast/vm1';
  const restored = await hastctl(['restore', `${url}@latest`, path, ...options], env);
  assert.equal(restored.status, 0, restored.err);
  assertImage(path, images[3]);
  assert.ok(!s3.seen.some((request) => /^(PUT|DELETE) /.test(request)), 'nothing was written');
  s3.weather = () => null;
  assert.equal((await hastctl(['verify', url, ...options], env)).status, 0);
  const listed = await hastctl(['points', url, ...options], env);
  assert.match(listed.out, /^@4 /m);
  const denied = await hastctl(['points', url, ...options], { ...env, AWS_SECRET_ACCESS_KEY: 'x' });
  assert.equal(denied.status, 2, denied.err);
  const none = await hastctl(['points', 's3://bucket/hast/vm2', ...options], env);
  assert.equal(none.status, 1, none.err);
});
