// How much of the thread pool one device may have (H19), with files that share it and without.
import assert from 'node:assert/strict';
import { openSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../src/base/sync.js';
import { MIB } from '../../src/base/units.js';
import { createSparseFile } from '../../src/disk/create-file.js';
import { DevicePool, poolShare } from '../../src/disk/device-pool.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { scratch } from '../real.js';

async function deviceOf(t: TestContext, name: string, share: ReturnType<typeof poolShare>) {
  const path = join(scratch(t), name);
  await createSparseFile(path, MIB);
  const fd = openSync(path, 'r+');
  return openFileDevice(fd, path, 'file', MIB, { ownsFd: true, poolShare: share });
}

test('files on one device share its places, and each waits for its turn', async (t) => {
  const share = poolShare(1);
  const [one, other] = [await deviceOf(t, 'one', share), await deviceOf(t, 'other', share)];
  const hang = deferred<void>();
  const holding = one.reserved(() => hang.promise);
  let isRead = false;
  const reading = other.read(0, new Uint8Array(512)).then(() => {
    isRead = true;
  });
  await sleep(20);
  assert.equal(isRead, false, 'the only place is taken');
  hang.resolve();
  await Promise.all([holding, reading]);
  await Promise.all([one.close(), other.close()]);
});

test('a reserved write waits for nobody, and close waits for it', async (t) => {
  const share = poolShare(1);
  const device = await deviceOf(t, 'disk', share);
  const begun = deferred<void>();
  const go = deferred<void>();
  const writing = device.reserved(async (write) => {
    begun.resolve();
    await go.promise;
    await write(4096, new Uint8Array(512).fill(7));
  });
  await begun.promise;
  const into = new Uint8Array(512);
  const reading = device.read(4096, into);
  go.resolve();
  await writing;
  await reading;
  assert.equal(into[0], 7, 'the read came after');
  await device.close();
});

test('a pool has at most its own places, and ended comes after all of them', async () => {
  const pool = new DevicePool(2, null);
  const hang = deferred<void>();
  let running = 0;
  const work = async (): Promise<void> => {
    running += 1;
    await hang.promise;
  };
  const all = [pool.run(work), pool.run(work), pool.run(work)];
  await sleep(5);
  assert.equal(running, 2);
  assert.ok(pool.full);
  let ended = false;
  const ending = pool.ended().then(() => {
    ended = true;
  });
  await sleep(5);
  assert.equal(ended, false);
  hang.resolve();
  await Promise.all([...all, ending]);
  assert.equal(running, 3);
});
