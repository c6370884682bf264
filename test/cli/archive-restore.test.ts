// hastctl as a process on an archive in a directory, with real files: restore and what it refuses,
// killed and gone on with, --delta, devices, keys. No daemon, no configuration.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { codeOf } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { openLocked } from '../../src/disk/lock.js';
import type { Secret } from '../../src/format/archive-identity.js';
import { makeArchive, plugIn } from '../archive/directory-archive.js';
import { Sender } from '../archive/sender.js';
import { loopDevice } from '../disk/processes.js';
import { needRoot, needTool, scratch } from '../real.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { assertImage, MIB, plugged, SIZE } from './plugged-archive.js';
import { HASTCTL, hastctl, parsed } from './run-hastctl.js';

test('restore makes a sparse file of the point, and leaves nothing beside it', async (t) => {
  const { folder, url, images, path } = await plugged(t);
  const result = await hastctl(['restore', `${url}@latest`, path, '--json']);
  assert.equal(result.status, 0, result.err);
  assertImage(path, images[3]);
  assert.ok(statSync(path).blocks * 512 < 0.85 * SIZE, 'holes stay holes');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const answer = parsed(result);
  assert.deepEqual(
    [answer['how'], answer['sizeBytes'], (answer['point'] as { number: number }).number],
    ['make', SIZE, 4],
  );
  assert.deepEqual(readdirSync(folder), ['vm1', 'vm1.img']);
  for (const [number, image] of images.entries()) {
    const old = `${path}.${number + 1}`;
    const text = await hastctl(['restore', `${url}@${number + 1}`, old]);
    assert.equal(text.status, 0, text.err);
    assertImage(old, image);
    assert.match(text.out, new RegExp(`@${number + 1} of .*every chunk verified`));
  }
});

test('of a damaged point it is said how many chunks have older content', async (t) => {
  const folder = scratch(t);
  const objects: MemoryObjects = new Map();
  const sender = new Sender(seededRandom(41), objects, null, MIB);
  for (const damaged of [[], [3, 5]]) {
    sender.write();
    sender.damaged = damaged;
    await sender.round();
  }
  const url = plugIn(folder, objects);
  for (const [number, chunks] of [
    [1, 0],
    [2, 2],
  ] as const) {
    const path = join(folder, `${number}.img`);
    const result = await hastctl(['restore', `${url}@${number}`, path, '--json']);
    assert.equal(result.status, 0, result.err);
    assert.equal(parsed(result)['damagedChunks'], chunks);
  }
});

test('what is there is not overwritten; --delta writes only what differs', async (t) => {
  const { url, images, path } = await plugged(t);
  const [old, newest] = [images[1], images[3]];
  assert.ok(old && newest);
  writeFileSync(path, old);
  const refused = await hastctl(['restore', `${url}@latest`, path]);
  assert.equal(refused.status, 73);
  assert.ok(refused.err.endsWith(`: hastctl restore ${url}@latest ${path} --delta\n`), refused.err);
  assertImage(path, old);
  const inode = statSync(path).ino;
  const result = await hastctl(['restore', `${url}@latest`, path, '--delta', '--json']);
  assert.equal(result.status, 0, result.err);
  assertImage(path, newest);
  assert.equal(statSync(path).ino, inode);
  const differing = await hastctl(['diff', `${url}@2`, '4', '--json']);
  assert.equal(parsed(result)['writtenBytes'], parsed(differing)['differingBytes']);
  // Larger, smaller, empty: it gets exactly the size.
  for (const size of [SIZE + 4096, SIZE - 4096, 0]) {
    truncateSync(path, size);
    assert.equal((await hastctl(['restore', `${url}@1`, path, '--delta'])).status, 0);
    assertImage(path, images[0]);
  }
});

/** Starts a restore of the newest point and ends it when some of it is there. */
async function interrupted(url: string, path: string, signal: 'SIGKILL' | 'SIGINT') {
  const args = [HASTCTL, 'restore', `${url}@latest`, path];
  for (;;) {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (piece: string) => {
      err += piece;
    });
    const closed = once(child, 'close');
    while (child.exitCode === null && !isBegun(path)) await new Promise(setImmediate);
    child.kill(signal);
    const [status] = await closed;
    if (status !== 0) return { status: status === null ? null : Number(status), err };
    // It was faster than we: once more.
    rmSync(path);
  }
}

function isBegun(path: string): boolean {
  try {
    return statSync(path).blocks > 0 && existsSync(`${path}.hast-restore`);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return false;
  }
}

test('killed, the same command goes on; another point is refused, both are named', async (t) => {
  const { folder, url, images, path } = await plugged(t);
  await interrupted(url, path, 'SIGKILL');
  const newest = images[3];
  assert.ok(newest && !equalBytes(readFileSync(path), newest), 'it was killed in the middle');
  assert.equal(statSync(path).size, SIZE);
  const other = await hastctl(['restore', `${url}@2`, path]);
  assert.equal(other.status, 73);
  assert.match(other.err, /vm1@4, and .*vm1@2 is another point/);
  // The file of another inode is nobody's unfinished restore.
  renameSync(path, `${path}.away`);
  writeFileSync(path, 'mine');
  assert.equal((await hastctl(['restore', `${url}@latest`, path])).status, 73);
  assert.equal(readFileSync(path, 'utf8'), 'mine');
  renameSync(`${path}.away`, path);
  const result = await hastctl(['restore', `${url}@latest`, path, '--json']);
  assert.equal(result.status, 0, result.err);
  assert.match(result.err, /going on with the restore of point 4/);
  assertImage(path, newest);
  assert.ok(Number(parsed(result)['writtenBytes']) < 0.85 * SIZE);
  assert.deepEqual(readdirSync(folder), ['vm1', 'vm1.img']);
});

test('interrupted, it says how far it is and how to go on', async (t) => {
  const { url, images, path } = await plugged(t);
  const { status, err } = await interrupted(url, path, 'SIGINT');
  assert.equal(status, 75, err);
  assert.match(err, /is not finished, \d+ % are done; the same command goes on with it/);
  assert.equal((await hastctl(['restore', `${url}@latest`, path])).status, 0);
  assertImage(path, images[3]);
});

test('an unfinished restore can be made another point with --delta', async (t) => {
  const { url, images, path } = await plugged(t);
  await interrupted(url, path, 'SIGKILL');
  const result = await hastctl(['restore', `${url}@1`, path, '--delta']);
  assert.equal(result.status, 0, result.err);
  assertImage(path, images[0]);
  assert.ok(!existsSync(`${path}.hast-restore`));
});

test('a device: only with --delta; what is behind the point stays; no smaller one', async (t) => {
  if (!needRoot(t) || !needTool(t, 'losetup')) return;
  const { folder, url, images } = await plugged(t);
  const attached = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return loopDevice(t, join(folder, name));
  };
  const image = images[3] ?? new Uint8Array(0);
  const device = attached('large', new Uint8Array(SIZE + MIB).fill(9));
  const refused = await hastctl(['restore', `${url}@latest`, device]);
  assert.equal(refused.status, 73);
  assert.ok(refused.err.endsWith(`hastctl restore ${url}@latest ${device} --delta\n`), refused.err);
  const result = await hastctl(['restore', `${url}@latest`, device, '--delta']);
  assert.equal(result.status, 0, result.err);
  assert.match(result.out, /1.0 MiB behind it on the device are left as they were/);
  const content = readFileSync(device);
  assert.ok(equalBytes(content.subarray(0, SIZE), image));
  assert.ok(content.subarray(SIZE).every((byte) => byte === 9));
  assert.ok(!existsSync(`${device}.hast-restore`));
  const small = attached('small', new Uint8Array(SIZE - 512));
  const short = await hastctl(['restore', `${url}@latest`, small, '--delta']);
  assert.equal(short.status, 65);
  assert.match(short.err, new RegExp(`has ${SIZE - 512} bytes .*, the point ${SIZE} `));
  // What is behind a loop device is in use, and so is a device that somebody has for himself.
  const behind = await hastctl(['restore', `${url}@latest`, join(folder, 'large'), '--delta']);
  assert.equal(behind.status, 66);
  assert.match(behind.err, /in use by the loop device loop\d+/);
  const held = openLocked(device, { formatCheck: false });
  const taken = await hastctl(['restore', `${url}@latest`, device, '--delta']);
  held.close();
  assert.equal(taken.status, 66);
  assert.match(taken.err, /in use by/);
});

test('sealed with a key, with a passphrase; a wrong or missing key is told at once', async (t) => {
  const folder = scratch(t);
  const bytes = new Uint8Array(32).fill(5);
  const words = 'correct horse battery staple';
  const secrets: readonly (readonly [string, Secret, string])[] = [
    ['key', { kind: 'key', bytes }, `${Buffer.from(bytes).toString('hex')}\n`],
    ['words', { kind: 'passphrase', text: words }, `passphrase ${words}\n`],
  ];
  for (const [name, secret, text] of secrets) {
    const shape = { sizeBytes: 4 * MIB, rounds: 2, blocks: 3, secret };
    const { objects, images } = await makeArchive(22, shape);
    const url = plugIn(join(folder, name), objects);
    const [key, path] = [join(folder, `${name}.key`), join(folder, `${name}.img`)];
    writeFileSync(key, text);
    chmodSync(key, 0o600);
    const result = await hastctl(['restore', `${url}@latest`, path, '--key', key]);
    assert.equal(result.status, 0, result.err);
    assertImage(path, images[1]);
    assert.equal((await hastctl(['verify', url, '--key', key])).status, 0);
    const none = await hastctl(['restore', `${url}@latest`, `${path}.no`]);
    assert.equal(none.status, 66);
    assert.match(none.err, /is sealed; name its key/);
    const wrong = join(folder, 'wrong.key');
    writeFileSync(wrong, `${'7'.repeat(64)}\n`);
    chmodSync(wrong, 0o600);
    const other = await hastctl(['restore', `${url}@latest`, `${path}.no`, '--key', wrong]);
    assert.equal(other.status, 66);
    assert.match(other.err, /not the one that this archive is sealed with/);
    assert.ok(!existsSync(`${path}.no`), 'nothing was made');
  }
});

test('damage ends a restore, which says how to find a point without it', async (t) => {
  const { folder, url, images, path } = await plugged(t);
  const packs = join(folder, 'vm1/packs');
  for (const name of readdirSync(packs, { recursive: true, encoding: 'utf8' })) {
    if (!name.includes('/')) continue;
    const pack = join(packs, name);
    const good = readFileSync(pack);
    const bad = Buffer.from(good);
    bad[300] = (bad[300] ?? 0) ^ 1;
    writeFileSync(pack, bad);
    const result = await hastctl(['restore', `${url}@latest`, path]);
    writeFileSync(pack, good);
    if (result.status === 0) {
      rmSync(path);
      continue;
    }
    assert.equal(result.status, 74);
    assert.match(result.err, new RegExp(`says: hastctl verify ${url}\n`));
    assert.ok(result.err.includes(name), result.err);
    // The archive mended, it goes on.
    assert.equal((await hastctl(['restore', `${url}@latest`, path])).status, 0);
    assertImage(path, images[3]);
    return;
  }
  assert.fail('no pack is needed');
});
