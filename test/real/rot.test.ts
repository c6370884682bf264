// Bit rot under the real programs: bytes of the real state files and disks are flipped after a
// clean end, hastd is started again, says which file it was and where, and the way out that its
// message or hastd(8) names leads back to two equal disks.
import assert from 'node:assert/strict';
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, CMD } from '../nbd/client.js';
import { assertSameImages, MIB } from './images.js';
import { type Pair, type RealNode, startPair } from './nodes.js';
import { listen, nothingLost, round, targetOf, until } from './steps.js';

const SIZE = 8 * MIB;
const PAGE = 4096;

/** Flips a bit of the byte at `offset` of a file. */
function flip(path: string, offset: number): void {
  const fd = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  assert.equal(readSync(fd, byte, 0, 1, offset), 1, `${path} has a byte ${offset}`);
  byte[0] = (byte[0] ?? 0) ^ 16;
  writeSync(fd, byte, 0, 1, offset);
  closeSync(fd);
}

const fileOf = ({ folder }: Pair, node: RealNode, name: string): string =>
  join(folder, node.name, 'vm1', name);

async function write(pair: Pair, offset: number, fill: number): Promise<void> {
  const client = await Client.open({ path: pair.a.nbdSocket }, 'vm1');
  const { error } = await client.ask({ type: CMD.WRITE, offset }, Buffer.alloc(MIB, fill));
  assert.equal(error, 0);
  client.socket.destroy();
}

async function stopBoth({ a, b }: Pair): Promise<void> {
  assert.deepEqual(await Promise.all([a.kill('SIGTERM'), b.kill('SIGTERM')]), [0, 0]);
}

/** Both are started, have their roles again, and know each other. */
async function startBoth({ a, b }: Pair): Promise<void> {
  await Promise.all([a.hastd(), b.hastd()]);
  await until('a is connected', async () => (await targetOf(a)).link === 'up');
}

/** Two points and something dirty, ended cleanly. */
async function atRest(pair: Pair): Promise<void> {
  await write(pair, 0, 1);
  await round(pair.a);
  await write(pair, 2 * MIB, 2);
  await round(pair.a);
  await write(pair, 4 * MIB, 3);
  await stopBoth(pair);
}

test('files of the state, one copy or one page: named, and nothing else to do', async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await atRest(pair);
  const [ofA, ofB] = [listen(a), listen(b)];
  flip(fileOf(pair, a, 'resource.json'), 60);
  flip(fileOf(pair, a, 'b.dirty'), 100);
  flip(fileOf(pair, a, 'intent.map'), PAGE);
  flip(fileOf(pair, a, 'b.digests'), PAGE + 40);
  flip(fileOf(pair, b, 'resource.json.2'), 60);
  flip(fileOf(pair, b, 'disk.digests'), PAGE + 40);
  await startBoth(pair);
  await ofA.line(/a\/vm1\/resource\.json: .*checksum.*a copy of the state is lost/);
  await ofA.line(/a\/vm1\/b\.dirty, record 0: .*checksum differs.*everything is compared/);
  await ofA.line(/a\/vm1\/intent\.map","offset":4096.*copies .* differ/);
  await ofB.line(/b\/vm1\/resource\.json\.2: .*checksum.*a copy of the state is lost/);
  await ofB.line(/b\/vm1\/disk\.digests at 4096.*has lost digests/);
  await nothingLost(pair);
  await ofA.line(/a\/vm1\/b\.digests at 4096.*has lost digests/);
  const { results } = await a.control.verify('vm1', true, new AbortController().signal);
  assert.equal(results[0]?.differing, 0, results[0]?.text);
  // Once more, and everything is whole again.
  await write(pair, 6 * MIB, 4);
  await stopBoth(pair);
  const again = listen(a);
  await startBoth(pair);
  await nothingLost(pair);
  assert.doesNotMatch(again.news(), /copy of the state is lost|lost digests|differ;/);
});

/** What hastd(8) says for a replica: role, state, role. */
async function createForce(node: RealNode): Promise<void> {
  await node.ask('role', 'init', 'vm1');
  await node.ask('create', '--force', 'vm1');
  await node.ask('role', 'secondary', 'vm1');
}

test("both copies of a replica's state: the message leads back", async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await atRest(pair);
  for (const name of ['resource.json', 'resource.json.2']) flip(fileOf(pair, b, name), 60);
  await Promise.all([a.hastd(), b.hastd()]);
  const refused = await b.ctl('role', 'secondary', 'vm1');
  assert.equal(refused.status, 74, refused.stderr);
  assert.match(refused.stderr, /b\/vm1\/resource\.json: neither copy.*hastctl create --force/);
  await b.ask('create', '--force', 'vm1');
  await b.ask('role', 'secondary', 'vm1');
  await a.ask('sync', 'vm1', '--wait');
  assertSameImages(a.image, b.image);
});

test("both copies of a primary's state: a new resource, the replica made anew", async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await atRest(pair);
  for (const name of ['resource.json', 'resource.json.2']) flip(fileOf(pair, a, name), 60);
  await Promise.all([a.hastd(), b.hastd()]);
  const refused = await a.ctl('role', 'primary', 'vm1');
  assert.equal(refused.status, 74, refused.stderr);
  assert.match(refused.stderr, /a\/vm1\/resource\.json: neither copy.*hastctl create --force/);
  await a.ask('create', '--force', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  const foreign = await a.ctl('sync', 'vm1', '--wait');
  assert.notEqual(foreign.status, 0);
  assert.match(foreign.stdout + foreign.stderr, /another resource/);
  await createForce(b);
  await a.ask('sync', 'vm1', '--wait');
  assertSameImages(a.image, b.image);
});

test("a replica's disk rots: verify --deep names the byte, create --force mends it", async (t) => {
  const pair = await startPair(t, { sizeBytes: SIZE });
  const { a, b } = pair;
  await write(pair, 0, 1);
  await write(pair, 3 * MIB, 5);
  await round(a);
  flip(b.image, 3 * MIB + 70_000);
  const tables = await a.ctl('verify', 'vm1');
  assert.match(tables.stdout, / 0 differ/, 'tables are what both sides believe');
  const deep = await a.ctl('verify', 'vm1', '--deep');
  assert.match(deep.stdout, new RegExp(`differing at byte ${3 * MIB + 65_536}\\n`));
  assert.throws(() => assertSameImages(a.image, b.image));
  await createForce(b);
  await a.ask('sync', 'vm1', '--wait');
  assertSameImages(a.image, b.image);
  assert.match((await a.ctl('verify', 'vm1', '--deep')).stdout, / 0 differ/);
});
