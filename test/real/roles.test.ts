// Roles that meet trouble: a replica's disk that is not mounted, a state directory that is full in
// the middle of a change, a file that was read again before `create`, a resource that left the file
// and came back, a replica that somebody wants to grow. Nothing is made, served or grown that is
// not there, and status says what is wrong.
import assert from 'node:assert/strict';
import {
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { needRoot } from '../real.js';
import { check, statusOf } from './bad-pair.js';
import { MIB, qemuIo } from './images.js';
import { smallFileSystem } from './mounts.js';
import { finish, makePair, type RealNode, startPair } from './nodes.js';
import { create, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const SIZE = 16 * MIB;
const QUICK = 'interval 1h\n  timeout 3';

async function fails(node: RealNode, status: number, text: RegExp, ...args: readonly string[]) {
  const finished = await node.ctl(...args);
  assert.equal(finished.status, status, `${finished.stdout}${finished.stderr}\n${node.log()}`);
  assert.match(finished.stderr, text);
}

const reloaded = async (node: RealNode): Promise<string> =>
  (await node.control.reload()).notes.join('\n');

test("a replica's disk is not there at start: no empty one is made in its place", async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 4M', 'flush');
  await round(a);
  await b.kill('SIGTERM');
  const moved = join(pair.folder, 'unmounted');
  renameSync(b.image, moved);
  await b.hastd();
  const { role, error } = await statusOf(b);
  assert.equal(role, 'init');
  assert.match(error ?? '', /secondary could not be taken up: .*b\.img: no such disk.*mounted\?/);
  assert.equal(existsSync(b.image), false);
  assert.match(await check(b, 2, 'vm1'), /CRITICAL.*mounted\?/);
  await fails(b, 66, /no such disk.*mounted\?/, 'role', 'secondary', 'vm1');
  assert.equal(existsSync(b.image), false);
  renameSync(moved, b.image);
  await takeRole(b, 'secondary');
  await until('a is connected', async () => (await targetOf(a)).link === 'up');
  await nothingLost(pair);
});

test('the state directory is full at role init: init, critical, and back with room', async (t) => {
  if (!needRoot(t)) return;
  const pair = await makePair(t, { sizeBytes: 0, config: QUICK });
  const { a, b } = pair;
  const small = await smallFileSystem(t, 64 * MIB);
  const text = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, text.replace(`statedir ${pair.folder}/a `, `statedir ${small}/it `));
  await Promise.all([a.hastd(), b.hastd()]);
  await create(a, SIZE);
  await create(b);
  await takeRole(b, 'secondary');
  await takeRole(a, 'primary');
  await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
  await round(a);
  const filler = join(small, 'filler');
  const { bavail, bsize } = statfsSync(small);
  writeFileSync(filler, Buffer.alloc(bavail * bsize));
  await fails(a, 74, /ENOSPC/, 'role', 'init', 'vm1');
  const left = await statusOf(a);
  assert.deepEqual([left.role, left.state, left.nbdUri], ['init', 'failed', null]);
  assert.match(left.error ?? '', /was primary and has no role now: .*ENOSPC.*role primary vm1/);
  assert.match(await check(a, 2, 'vm1'), /CRITICAL.*was primary and has no role now/);
  rmSync(filler);
  await a.ask('role', 'primary', 'vm1');
  const back = await statusOf(a);
  assert.deepEqual([back.role, back.error], ['primary', null]);
  await qemuIo(a.nbdUri, 'read -P 1 0 1M', 'write -P 2 1M 1M', 'flush');
  await nothingLost(pair);
});

test('the file was read again before create: create and role see the same disk', async (t) => {
  const pair = await makePair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await Promise.all([a.hastd(), b.hastd()]);
  const other = join(pair.folder, 'other.img');
  const text = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, text.replace(a.image, other));
  assert.match(await reloaded(a), /local: .*a\.img -> .*other\.img \(in force\)/);
  await create(a, SIZE);
  assert.deepEqual([existsSync(other), existsSync(a.image)], [true, false]);
  await reloaded(b);
  await create(b);
  await takeRole(b, 'secondary');
  await takeRole(a, 'primary');
  assert.equal((await statusOf(a)).local, other);
  await qemuIo(a.nbdUri, 'write -P 4 0 1M', 'flush');
  await round(a);
});

test('a resource that leaves the file and comes back is what it was, not new', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: QUICK });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
  await round(a);
  await b.kill('SIGTERM');
  await a.kill('SIGKILL');
  await a.hastd();
  assert.match((await statusOf(a)).error ?? '', /waits to be it again/);
  const text = readFileSync(pair.config, 'utf8');
  writeFileSync(pair.config, text.slice(0, text.indexOf('resource vm1')));
  assert.match(await reloaded(a), /resource vm1: .*vm1 -> none/);
  assert.deepEqual((await a.control.status([])).resources, []);
  writeFileSync(pair.config, text);
  const notes = await reloaded(a);
  assert.match(notes, /none -> vm1 \(in force\)/);
  assert.match(notes, /vm1: was primary and waits to be it again: not reached: b/);
  assert.match(await check(a, 2, 'vm1'), /CRITICAL.*waits to be it again/);
  await b.hastd();
  await until('a is primary again', async () => (await statusOf(a)).role === 'primary');
  await qemuIo(a.nbdUri, 'read -P 1 0 1M');
  await nothingLost(pair);
  // The other one too, at once: a replica asks nobody.
  await b.kill('SIGTERM');
  writeFileSync(pair.config, text.slice(0, text.indexOf('resource vm1')));
  await b.hastd();
  writeFileSync(pair.config, text);
  assert.match(await reloaded(b), /vm1: is secondary again/);
  await until('a is connected', async () => (await targetOf(a)).link === 'up');
  await nothingLost(pair);
});

test('a start that still asks its peers does not say "was never created"', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE, config: 'interval 1h\n  timeout 30' });
  const { a, b } = pair;
  await round(a);
  await a.kill('SIGTERM');
  // Stopped, not ended: it takes the connection and answers nothing.
  process.kill(b.pid ?? 0, 'SIGSTOP');
  t.after(() => finish('kill', ['-CONT', String(b.pid)]));
  await a.hastd();
  const asking = await statusOf(a);
  assert.equal(asking.role, 'init');
  assert.equal(asking.error, null, 'the question is out');
  const [alarm] = asking.alarms;
  assert.match(alarm?.text ?? '', /has no role, though it was given primary/);
  process.kill(b.pid ?? 0, 'SIGCONT');
  await until('a is primary', async () => (await statusOf(a)).role === 'primary');
});

test('a replica without its role is not grown here: its points would not fit it', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await qemuIo(a.nbdUri, 'write -P 1 0 1M', 'flush');
  await round(a);
  await takeRole(b, 'init');
  truncateSync(b.image, 2 * SIZE);
  await fails(b, 2, /its role is init; .*a was it last.*resize vm1 there/, 'resize', 'vm1');
  assert.equal((await statusOf(b)).sizeBytes, SIZE);
  await takeRole(b, 'secondary');
  await until('a is connected', async () => (await targetOf(a)).link === 'up');
  await nothingLost(pair);
  truncateSync(a.image, 2 * SIZE);
  await a.ask('resize', 'vm1');
  await until('a is connected', async () => (await targetOf(a)).link === 'up');
  await nothingLost(pair);
});
