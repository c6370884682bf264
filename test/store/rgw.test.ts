// The S3 store against a real server: the contract, what a bucket honours, and one that keeps
// versions, where a condition is ignored silently.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { hex, systemRandom } from '../../src/base/random.js';
import { probeStore } from '../../src/store/probe.js';
import { openS3Store } from '../../src/store/s3-store.js';
import type { ObjectStore } from '../../src/store/store.js';
import { storeUrl } from '../../src/store/url.js';
import { needTool } from '../real.js';
import { endRgw, RGW_TOOLS, type Rgw, startRgw } from './rgw.js';
import { describeStoreContract } from './store-contract.js';

const folder = mkdtempSync(join(tmpdir(), 'hast-rgw-'));
let starting: Promise<Rgw> | null = null;

after(async () => {
  await starting?.catch(() => undefined);
  await endRgw(folder);
  rmSync(folder, { recursive: true, force: true });
});

/** One server for all tests of this file; null: it is not installed. */
async function server(t: TestContext): Promise<Rgw | null> {
  if (!needTool(t, ...RGW_TOOLS)) return null;
  starting ??= startRgw(folder);
  return starting;
}

async function open({ endpoint, credentials }: Rgw, text: string): Promise<ObjectStore> {
  const url = storeUrl(text);
  assert.ok(url.kind === 's3');
  const plain = { url, endpoint, region: null, pace: null, credentials };
  return openS3Store({ ...plain, checksums: 'supported' }, systemClock);
}

async function newBucket(rgw: Rgw, versioned = false): Promise<string> {
  const bucket = `b-${hex(systemRandom.bytes(6))}`;
  await rgw.makeBucket(bucket, versioned);
  return `s3://${bucket}`;
}

describeStoreContract('Ceph RGW', async (t) => {
  const rgw = await server(t);
  if (rgw === null) return null;
  const url = `${await newBucket(rgw)}/some/prefix`;
  return { store: await open(rgw, url), other: () => open(rgw, url) };
});

test('archive check: a bucket is safe; one that keeps versions is for one writer', async (t) => {
  const rgw = await server(t);
  if (rgw === null) return;
  const world = { clock: systemClock, random: systemRandom };
  const plain = await open(rgw, await newBucket(rgw));
  const safe = await probeStore(plain, world, null);
  assert.equal(safe.verdict, 'safe', JSON.stringify(safe));
  await plain.close();
  const versioned = await open(rgw, await newBucket(rgw, true));
  const found = await probeStore(versioned, world, null);
  assert.equal(found.verdict, 'one-writer', JSON.stringify(found));
  await versioned.close();
});

test('what was answered is there after a kill of the gateway', async (t) => {
  const rgw = await server(t);
  if (rgw === null) return;
  const store = await open(rgw, await newBucket(rgw));
  const bytes = systemRandom.bytes(3_000_000);
  await store.put('packs/a', bytes, 'create');
  await rgw.killAndStart();
  assert.ok(Buffer.from((await store.readWhole('packs/a', 4e6)) ?? []).equals(bytes));
  assert.equal(await store.put('packs/a', bytes, 'create'), 'exists');
  await store.close();
});
