// Where archives of tests are: a directory, the strict S3 in this process, a bucket of Ceph RGW.
// Each as hast.conf has it, as hastctl is told, and with what can be known of its objects and done
// to it. Credentials are those of this process, which hastd and hastctl inherit.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import type { Random } from '../../src/base/random.js';
import { openS3Store } from '../../src/store/s3-store.js';
import { storeUrl } from '../../src/store/url.js';
import type { Rgw } from '../store/rgw.js';
import {
  ACCESS_KEY,
  REGION,
  type S3Weather,
  SECRET_KEY,
  type StrictS3,
  startStrictS3,
} from '../store/strict-s3.js';

export interface Place {
  /** Above the resource. */
  readonly url: string;
  /** Statements of an archive block. */
  readonly statements: string;
  /** Options of hastctl. */
  readonly flags: readonly string[];
  /** Packs in it. */
  packs(): Promise<number>;
  /** It ends at once and comes back; null: it cannot. */
  readonly kill: (() => Promise<void>) | null;
  /** Acts once, when the request of that number from now on (1: the next) has come and is not yet
   * answered; what it returns takes that back. Null: requests are not seen. */
  readonly atRequest: ((number: number, act: () => void) => () => void) | null;
}

export const BUCKET = 'bucket';

/** Hands credentials to whatever this process starts. */
export function useKeys(accessKeyId: string, secretAccessKey: string): void {
  process.env['AWS_ACCESS_KEY_ID'] = accessKeyId;
  process.env['AWS_SECRET_ACCESS_KEY'] = secretAccessKey;
}

/** A new directory below `folder`. */
export function directoryPlace(folder: string): Place {
  const store = join(folder, 'store');
  mkdirSync(store);
  const packs = async (): Promise<number> => {
    const place = join(store, 'vm1/packs');
    if (!existsSync(place)) return 0;
    const names = readdirSync(place, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.includes('/')).length;
  };
  const statements = `url file://${store}`;
  return { url: `file://${store}`, statements, flags: [], packs, kill: null, atRequest: null };
}

/** A server of its own, and what can be asked of it; closed after the test. */
export async function strictPlace(t: TestContext): Promise<{ place: Place; s3: StrictS3 }> {
  const s3 = await startStrictS3(BUCKET);
  t.after(() => s3.close());
  useKeys(ACCESS_KEY, SECRET_KEY);
  const isPack = (key: string): boolean => key.startsWith('some/vm1/packs/');
  const place: Place = {
    url: `s3://${BUCKET}/some`,
    statements: `url s3://${BUCKET}/some  endpoint ${s3.endpoint}  region ${REGION}`,
    flags: ['--endpoint', s3.endpoint, '--region', REGION],
    packs: async () => [...s3.objects.keys()].filter(isPack).length,
    kill: null,
    atRequest: (number, act) => {
      const before = s3.weather;
      let left = number;
      s3.weather = (method, key) => {
        left -= 1;
        if (left === 0) act();
        return before(method, key);
      };
      return () => {
        s3.weather = before;
      };
    },
  };
  return { place, s3 };
}

const WEATHERS: readonly S3Weather[] = [
  'slow down',
  'internal error',
  'conflict',
  'reset before',
  'lost',
  'break off',
  'short',
];

/** One request of `oneIn` meets with bad weather, never `AGAIN_MAX` in a row: the client gives up
 * after some. */
export function badWeather(s3: StrictS3, random: Random, oneIn: number): void {
  let row = 0;
  s3.weather = (method) => {
    const weather = WEATHERS[random.below(WEATHERS.length)] ?? null;
    const isBad = random.below(oneIn) === 0 && row < AGAIN_MAX;
    row = isBad ? row + 1 : 0;
    // Only what creates is refused for another one at the same time.
    return isBad && (weather !== 'conflict' || method === 'PUT') ? weather : null;
  };
}

const AGAIN_MAX = 2;

export async function rgwPlace(rgw: Rgw, bucket: string): Promise<Place> {
  await rgw.makeBucket(bucket);
  const { accessKeyId, secretAccessKey } = rgw.credentials;
  assert.ok(accessKeyId !== '' && secretAccessKey !== '');
  useKeys(accessKeyId, secretAccessKey);
  const url = storeUrl(`s3://${bucket}/some/prefix/vm1`);
  assert.ok(url.kind === 's3');
  const { endpoint, credentials } = rgw;
  const options = { url, endpoint, region: null, pace: null, credentials } as const;
  const packs = async (): Promise<number> => {
    const store = await openS3Store({ ...options, checksums: 'supported' }, systemClock);
    let count = 0;
    for await (const _ of store.list('packs/')) count += 1;
    await store.close();
    return count;
  };
  return {
    url: `s3://${bucket}/some/prefix`,
    statements: `url s3://${bucket}/some/prefix  endpoint ${rgw.endpoint}`,
    flags: ['--endpoint', rgw.endpoint],
    packs,
    kill: () => rgw.killAndStart(),
    atRequest: null,
  };
}
