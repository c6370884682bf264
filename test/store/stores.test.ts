// Every store keeps the contract: memory, a directory, and the S3 store against the strict server.

import { systemClock } from '../../src/base/clock.js';
import { hex, seededRandom } from '../../src/base/random.js';
import { openDirectoryStore } from '../../src/store/directory-store.js';
import { openS3Store } from '../../src/store/s3-store.js';
import { storeUrl } from '../../src/store/url.js';
import { scratch } from '../real.js';
import { MemoryStore } from './memory-store.js';
import { describeStoreContract } from './store-contract.js';
import { ACCESS_KEY, REGION, SECRET_KEY, startStrictS3 } from './strict-s3.js';

describeStoreContract('memory', async () => {
  const store = new MemoryStore();
  return { store, other: async () => new MemoryStore(store.objects) };
});

describeStoreContract('directory', async (t) => {
  const folder = scratch(t);
  const open = () => openDirectoryStore(folder, Date.now());
  return { store: await open(), other: open };
});

describeStoreContract('strict S3', async (t) => {
  const s3 = await startStrictS3('bucket');
  t.after(() => s3.close());
  const prefix = hex(seededRandom(1).bytes(4));
  const url = storeUrl(`s3://bucket/${prefix}/x`);
  if (url.kind !== 's3') return null;
  const credentials = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY };
  const options = { url, endpoint: s3.endpoint, region: REGION, pace: null, credentials };
  const open = () => openS3Store({ ...options, checksums: 'supported' }, systemClock);
  return { store: await open(), other: open };
});
