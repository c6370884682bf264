// A real hastd whose archive cannot be had when it starts: no directory, another key, no key, no
// bucket, wrong credentials, no store. The guest is served all the same (W4), status says what is
// wrong, and rounds go on as soon as it is mended.
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { ACCESS_KEY, REGION, SECRET_KEY, startStrictS3 } from '../store/strict-s3.js';
import { BUCKET, directoryPlace, type Place, useKeys } from './archive-places.js';
import { ArchiveScene } from './archive-scene.js';
import { qemuIo } from './images.js';
import { freePort } from './nodes.js';
import { takeRole, until } from './steps.js';

const SIZE = 4 * MIB;
/** Requests are tried again for so long. */
const QUICK = 'timeout 2s';
const scene = (
  t: TestContext,
  placeIn: (folder: string) => Place,
  sealed?: 'key',
  ofArchive = '',
) =>
  ArchiveScene.make(t, placeIn, {
    sizeBytes: SIZE,
    random: seededRandom(1),
    ofArchive,
    ...(sealed === undefined ? {} : { sealed }),
  });

/** The guest is served while no round goes through, and status says why: `code`, `text`. */
async function servedAllTheSame(of: ArchiveScene, code: string, text: RegExp): Promise<void> {
  const { node } = of;
  await qemuIo(node.nbdUri, 'write -P 7 0 1M', 'flush', 'read -P 7 0 1M');
  const { outcome, text: why } = await of.sync();
  assert.equal(outcome, 'failed');
  assert.match(why, text);
  const { link, state, lastError, failedRounds, lastPoint } = await of.target();
  assert.deepEqual([link, state, lastPoint], ['down', 'unreachable', null]);
  assert.ok(failedRounds > 0);
  assert.equal(lastError?.code, code);
  assert.match(lastError.text, text);
  const check = await node.ctl('status', '--check', 'vm1');
  assert.match(check.stdout, text);
  await qemuIo(node.nbdUri, 'write -P 8 1M 1M', 'flush', 'read -P 8 1M 1M');
}

/** It is mended: the next round makes a point, which is the disk. */
async function goesOn(of: ArchiveScene): Promise<void> {
  await of.point();
  assert.ok((await of.restored('latest')).equals(readFileSync(of.node.image)));
  const { state, failedRounds, lastError } = await of.target();
  assert.deepEqual([state, failedRounds, lastError], ['clean', 0, null]);
}

test('the directory is not there: nothing is made in its place; then it is mounted', async (t) => {
  const missing = (folder: string): Place => {
    const place = directoryPlace(folder);
    renameSync(join(folder, 'store'), join(folder, 'unmounted'));
    return place;
  };
  const it = await scene(t, missing, undefined, QUICK);
  await it.begin();
  await servedAllTheSame(it, 'STORE_NO_BUCKET', /no such|not there|ENOENT/);
  renameSync(join(it.folder, 'unmounted'), join(it.folder, 'store'));
  await goesOn(it);
});

test('a disk that is not mounted any more: its mount point stays empty', async (t) => {
  const it = await scene(t, directoryPlace, undefined, QUICK);
  const { node } = it;
  const [store, away] = [join(it.folder, 'store'), join(it.folder, 'unmounted')];
  await it.begin();
  await qemuIo(node.nbdUri, 'write -P 1 0 1M', 'flush');
  const first = await it.point();
  renameSync(store, away);
  mkdirSync(store);
  const refused = async (code: string, text: RegExp): Promise<void> => {
    await qemuIo(node.nbdUri, 'write -P 2 1M 1M', 'flush', 'read -P 2 1M 1M');
    // The session that is there finds out first.
    await it.sync();
    assert.equal((await it.sync()).outcome, 'failed');
    const { lastError, lastPoint } = await it.target();
    assert.deepEqual([lastError?.code, lastPoint?.number], [code, first]);
    assert.match(lastError?.text ?? '', text);
  };
  await refused('STORE_NO_BUCKET', /create it, or mount it/);
  assert.deepEqual(readdirSync(store), []);
  // Not even where the folder is there, of an earlier time.
  mkdirSync(join(store, 'vm1'));
  await refused('TARGET_DIVERGED', /not mounted, or what was there is gone/);
  assert.deepEqual(readdirSync(join(store, 'vm1')), []);
  rmSync(store, { recursive: true });
  renameSync(away, store);
  await goesOn(it);
});

test('another key, and none at all, after a start; then the right one', async (t) => {
  const it = await scene(t, directoryPlace, 'key', QUICK);
  const { node, folder } = it;
  await it.begin();
  await it.point().catch(() => undefined);
  await qemuIo(node.nbdUri, 'write -P 1 0 1M', 'flush');
  await it.point();
  await node.kill('SIGTERM');
  renameSync(it.keyPath, join(folder, 'right.key'));
  await node.hastd();
  await takeRole(node, 'primary');
  const wrong = async (code: string, text: RegExp): Promise<void> => {
    await qemuIo(node.nbdUri, 'write -P 3 0 1M', 'flush', 'read -P 3 0 1M');
    const { outcome } = await it.sync();
    assert.equal(outcome, 'failed');
    const { lastError, lastPoint } = await it.target();
    assert.equal(lastError?.code, code);
    assert.match(lastError.text, text);
    assert.ok(lastPoint !== null);
  };
  await wrong('SECRET_UNREADABLE', /archive\.key/);
  await node.ask('keygen', it.keyPath);
  await wrong('ARCHIVE_WRONG_KEY', /not the one that this archive is sealed with/);
  renameSync(join(folder, 'right.key'), it.keyPath);
  await goesOn(it);
});

const s3Of = (bucket: string, port: number): Place => ({
  url: `s3://${bucket}/some`,
  statements: `url s3://${bucket}/some  endpoint http://127.0.0.1:${port}  region ${REGION}`,
  flags: ['--endpoint', `http://127.0.0.1:${port}`, '--region', REGION],
  packs: async () => 0,
  kill: null,
  atRequest: null,
});

test('no bucket of that name, then another one by a reload', async (t) => {
  const port = await freePort();
  const s3 = await startStrictS3(BUCKET, port);
  t.after(() => s3.close());
  useKeys(ACCESS_KEY, SECRET_KEY);
  const it = await scene(t, () => s3Of('other', port), undefined, QUICK);
  await it.begin();
  await servedAllTheSame(it, 'STORE_NO_BUCKET', /bucket/i);
  const place = s3Of(BUCKET, port);
  it.configure(place.statements);
  await it.node.ask('reload');
  await it.point();
  const path = join(it.folder, 'restored');
  const restored = await it.node.ctl('restore', `${place.url}/vm1@latest`, path, ...place.flags);
  assert.equal(restored.status, 0, restored.stderr);
  assert.ok(readFileSync(path).equals(readFileSync(it.node.image)));
});

test('wrong credentials: it says so', async (t) => {
  const port = await freePort();
  const s3 = await startStrictS3(BUCKET, port);
  t.after(() => s3.close());
  useKeys(ACCESS_KEY, 'not-the-secret');
  const it = await scene(t, () => s3Of(BUCKET, port), undefined, QUICK);
  await it.begin();
  await servedAllTheSame(it, 'STORE_DENIED', /SignatureDoesNotMatch/);
});

test('the store is down at start, and comes by itself into use when it is back', async (t) => {
  const port = await freePort();
  useKeys(ACCESS_KEY, SECRET_KEY);
  const it = await scene(t, () => s3Of(BUCKET, port), undefined, QUICK);
  await it.begin();
  await servedAllTheSame(it, 'STORE_UNREACHABLE', /ECONNREFUSED/);
  const s3 = await startStrictS3(BUCKET, port);
  t.after(() => s3.close());
  await until('it is connected', async () => (await it.target()).link === 'up', 60_000);
  await goesOn(it);
  // In the middle of its life, too: what was open fails, and goes on when it is back.
  await s3.close();
  await qemuIo(it.node.nbdUri, 'write -P 9 0 1M', 'flush', 'read -P 9 0 1M');
  assert.equal((await it.sync()).outcome, 'failed');
  const again = await startStrictS3(BUCKET, port);
  t.after(() => again.close());
  for (const [key, object] of s3.objects) again.objects.set(key, object);
  await goesOn(it);
});
