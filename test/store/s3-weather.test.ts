// The S3 store in bad weather: what is repeated, what is told, and that nothing is believed that
// did not come whole.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Clock } from '../../src/base/clock.js';
import { systemClock } from '../../src/base/clock.js';
import { codeOf, describeError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { openS3Store, type S3Options } from '../../src/store/s3-store.js';
import type { ObjectStore } from '../../src/store/store.js';
import { storeUrl } from '../../src/store/url.js';
import {
  ACCESS_KEY,
  REGION,
  type S3Weather,
  SECRET_KEY,
  type StrictS3,
  startStrictS3,
} from './strict-s3.js';

const impatient: Clock = { ...systemClock, sleep: async () => {} };

interface Open {
  readonly s3: StrictS3;
  readonly store: ObjectStore;
}

async function open(t: TestContext, changes: Partial<S3Options> = {}): Promise<Open> {
  const s3 = await startStrictS3('bucket');
  const url = storeUrl('s3://bucket/x');
  assert.ok(url.kind === 's3');
  const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };
  const plain = { url, endpoint: s3.endpoint, region: REGION, pace: null, credentials };
  const store = await openS3Store({ ...plain, checksums: 'supported', ...changes }, impatient);
  t.after(async () => {
    await store.close();
    await s3.close();
  });
  return { s3, store };
}

/** The first `times` requests of `method` meet it. */
function storm(s3: StrictS3, method: string, weather: S3Weather, times: number): void {
  let left = times;
  s3.weather = (asked) => {
    if (asked !== method || left === 0) return null;
    left -= 1;
    return weather;
  };
}

const BYTES = seededRandom(1).bytes(300_000);

test('a put goes through SlowDown, 500 and lost connections; each attempt counts', async (t) => {
  for (const weather of ['slow down', 'internal error', 'reset before', 'lost'] as const) {
    const { s3, store } = await open(t);
    storm(s3, 'PUT', weather, 2);
    assert.equal(await store.put('a', BYTES, 'replace'), 'stored', weather);
    assert.equal(store.counts.put, 3, weather);
    assert.equal(store.counts.upBytes, 3 * BYTES.length);
    assert.ok(s3.objects.get('x/a')?.bytes.equals(BYTES));
  }
});

test('a create whose answer was lost: it exists, and its content stands (H35)', async (t) => {
  const { s3, store } = await open(t);
  storm(s3, 'PUT', 'lost', 1);
  assert.equal(await store.put('points/1', BYTES, 'create'), 'exists');
  assert.ok(Buffer.from((await store.readWhole('points/1', 1e6)) ?? []).equals(BYTES));
});

test('409 of two at the same time is asked again', async (t) => {
  const { s3, store } = await open(t);
  storm(s3, 'PUT', 'conflict', 2);
  assert.equal(await store.put('points/1', BYTES, 'create'), 'stored');
});

test('a body that breaks off is asked for again, whole or in part; never believed', async (t) => {
  for (const weather of ['break off', 'short'] as const) {
    const { s3, store } = await open(t);
    await store.put('a', BYTES, 'replace');
    storm(s3, 'GET', weather, 2);
    assert.ok(Buffer.from((await store.readWhole('a', 1e6)) ?? []).equals(BYTES), weather);
    storm(s3, 'GET', weather, 2);
    const part = await store.read('a', 1000, 200_000);
    assert.ok(Buffer.from(part).equals(BYTES.subarray(1000, 201_000)), weather);
  }
});

test('weather that stays bad is told, and may be better later', async (t) => {
  const { s3, store } = await open(t);
  await store.put('a', BYTES, 'replace');
  for (const weather of ['slow down', 'reset before', 'break off'] as const) {
    s3.weather = () => weather;
    await assert.rejects(store.readWhole('a', 1e6), (error) => {
      assert.equal(codeOf(error), 'STORE_UNREACHABLE', describeError(error));
      assert.match(describeError(error), /s3:\/\/bucket\/x: get of a failed for now: /);
      return true;
    });
  }
  s3.weather = () => null;
  assert.equal((await store.readWhole('a', 1e6))?.length, BYTES.length);
});

test('wrong keys are denied at once, with no secret in what is said', async (t) => {
  const { s3 } = await open(t);
  const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: 'another-secret' };
  const { store } = await open(t, { endpoint: s3.endpoint, credentials });
  await assert.rejects(store.put('a', BYTES, 'replace'), (error) => {
    assert.equal(codeOf(error), 'STORE_DENIED', describeError(error));
    assert.match(describeError(error), /SignatureDoesNotMatch/);
    assert.doesNotMatch(describeError(error), /another-secret/);
    return true;
  });
  assert.equal(store.counts.put, 1);
});

test('no bucket and no server are told apart', async (t) => {
  const { s3 } = await open(t);
  const url = storeUrl('s3://other-bucket/x');
  assert.ok(url.kind === 's3');
  const { store } = await open(t, { endpoint: s3.endpoint, url });
  await assert.rejects(
    store.put('a', BYTES, 'replace'),
    (error) => codeOf(error) === 'STORE_NO_BUCKET',
  );
  await assert.rejects(store.readWhole('a', 10), (error) => codeOf(error) === 'STORE_NO_BUCKET');
  await s3.close();
  await assert.rejects(store.readWhole('a', 10), (error) => {
    assert.equal(codeOf(error), 'STORE_UNREACHABLE', describeError(error));
    return true;
  });
});

test('with a rate a body leaves in small pieces, and each attempt whole', async (t) => {
  const paced: number[] = [];
  const pace = async (bytes: number): Promise<void> => void paced.push(bytes);
  const { s3, store } = await open(t, { pace });
  storm(s3, 'PUT', 'slow down', 1);
  assert.equal(await store.put('a', BYTES, 'create'), 'stored');
  assert.ok(s3.objects.get('x/a')?.bytes.equals(BYTES));
  assert.ok(Math.max(...paced) <= 16_384);
  assert.equal(
    paced.reduce((sum, bytes) => sum + bytes, 0),
    2 * BYTES.length,
  );
});

test('a server without checksums gets none', async (t) => {
  const { s3, store } = await open(t, { checksums: 'required' });
  assert.equal(await store.put('a', BYTES, 'replace'), 'stored');
  await store.remove(['a']);
  assert.equal(s3.objects.size, 0);
});
