// What an operator gets wrong before anything runs, and roles that cannot be: each time the exit
// status of the table, a sentence that names the thing and what to try, and nothing changed by it.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Client, CMD } from '../nbd/client.js';
import { needTool } from '../real.js';
import { MIB, makeImage, qemuIo, succeed } from './images.js';
import { finish, makePair, RealNode, startPair } from './nodes.js';
import { create, nothingLost, round, takeRole, targetOf, until } from './steps.js';

const DISK_BYTES = 16 * MIB;

/** Runs hastctl, which must end with `status` and say `pattern`. */
async function fails(node: RealNode, status: number, pattern: RegExp, ...args: string[]) {
  const finished = await node.ctl(...args);
  const said = finished.stdout + finished.stderr;
  assert.equal(finished.status, status, `hastctl ${args.join(' ')}: ${said}`);
  assert.match(said, pattern);
}

/** qemu-nbd with the image open for writing, until `stop`. */
async function qemuHolds(t: TestContext, image: string, socket: string) {
  const child: ChildProcess = spawn('qemu-nbd', ['-f', 'raw', '-t', '-k', socket, image]);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  };
  t.after(stop);
  await until('qemu-nbd serves', async () => existsSync(socket));
  return { pid: child.pid, stop };
}

test('configurations that cannot be used', async (t) => {
  const pair = await makePair(t, { sizeBytes: 0 });
  const { folder, config } = pair;
  const attempt = async (path: string, status: number, pattern: RegExp): Promise<void> => {
    const node = new RealNode('a', folder, path, []);
    rmSync(join(folder, 'a.log'), { force: true });
    assert.equal(await node.hastdEnds(), status, node.log());
    assert.match(node.log(), pattern);
    assert.ok(!node.log().includes('    at '), 'no stack trace');
    await fails(node, status, pattern, 'status');
  };
  await attempt(join(folder, 'none.conf'), 72, /none\.conf: .*ENOENT/);
  mkdirSync(join(folder, 'directory.conf'));
  await attempt(join(folder, 'directory.conf'), 72, /directory\.conf: .*EISDIR/);
  if (process.getuid?.() !== 0) {
    chmodSync(config, 0o000);
    await attempt(config, 72, /hast\.conf: .*EACCES/);
    chmodSync(config, 0o600);
  }
  const wrong = join(folder, 'wrong.conf');
  const text = readFileSync(config, 'utf8');
  writeFileSync(wrong, text.replace('interval 1h', 'intervall 1h\n  replication fullsync'));
  await attempt(
    wrong,
    78,
    /wrong\.conf:\d+:\d+: .*intervall.*interval\b[\s\S]*wrong\.conf:\d+:\d+:/,
  );
  await fails(new RealNode('c', folder, config, []), 78, /node c\b|\bc\b/, 'status');
  await fails(pair.a, 71, /a\.ctl: cannot reach hastd.*is it running/, 'status');
  await fails(pair.a, 71, /is it running/, 'sync', 'vm1', '--wait');
  await fails(pair.a, 71, /is it running/, 'stop');
});

test('disks that cannot be used, and disks that somebody holds', async (t) => {
  if (!needTool(t, 'qemu-img', 'qemu-nbd', 'qemu-io')) return;
  const pair = await makePair(t, { sizeBytes: 0 });
  const { a, b, folder } = pair;
  await succeed('qemu-img', 'create', '-q', '-f', 'qcow2', a.image, '16M');
  const refused = /a\.img: .*qcow2.*qemu-img convert -O raw/;
  await fails(a, 66, refused, 'create', 'vm1');
  await Promise.all([a.hastd(), b.hastd()]);
  await fails(a, 66, refused, 'create', 'vm1');
  rmSync(a.image);
  writeFileSync(a.image, Buffer.alloc(1000));
  await fails(a, 66, /a\.img: .*1000.*multiple of 512/, 'create', 'vm1');
  rmSync(a.image);
  await fails(a, 74, /vm1.*hastctl create/, 'role', 'primary', 'vm1');
  await create(a);
  await fails(a, 66, /a\.img does not exist.*-m SIZE/, 'role', 'primary', 'vm1');
  makeImage(a.image, DISK_BYTES, 4 * MIB);
  await fails(a, 8, /vm1: has state in .*--force/, 'create', 'vm1');

  const guest = await qemuHolds(t, a.image, join(folder, 'guest.nbd'));
  await fails(a, 66, new RegExp(`a\\.img: .*${guest.pid}`), 'role', 'primary', 'vm1');
  await guest.stop();
  await takeRole(a, 'primary');
  for (const command of ['read 0 4k', 'write 0 4k']) {
    const qemu = await finish('qemu-io', ['-f', 'raw', '-c', command, a.image]);
    assert.match(qemu.stderr + qemu.stdout, /Failed to get .*lock/, 'qemu is kept out');
  }
  await create(b);
  await takeRole(b, 'secondary');
  await round(a);
  const reader = await finish('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 4k', b.image]);
  assert.match(reader.stderr + reader.stdout, /Failed to get .*lock/, 'from the replica as well');

  // The replica's disk is held by somebody when it wants the role again.
  await takeRole(b, 'init');
  const holder = await qemuHolds(t, b.image, join(folder, 'holder.nbd'));
  await fails(b, 66, new RegExp(`b\\.img: .*${holder.pid}`), 'role', 'secondary', 'vm1');
  await holder.stop();
  await takeRole(b, 'secondary');
  await qemuIo(a.nbdUri, 'write -P 3 3M 1M', 'flush');
  await nothingLost(pair);

  // The replica's disk is gone: none is made in its place, and what the operator puts there is no
  // point, and is not taken for one.
  await takeRole(b, 'init');
  rmSync(b.image);
  await fails(b, 66, /b\.img: no such disk.*mounted\?/, 'role', 'secondary', 'vm1');
  makeImage(b.image, DISK_BYTES, 0);
  await takeRole(b, 'secondary');
  assert.equal((await targetOf(b)).state, 'suspect');
  await fails(b, 2, /may not be what was received/, 'role', 'primary', '--accept-loss', 'vm1');
  await qemuIo(a.nbdUri, 'write -P 4 5M 1M', 'flush');
  await until('a is connected again', async () => (await targetOf(a)).link === 'up');
  // H28: what is doubted goes whole in the next round.
  await nothingLost(pair);
  assert.notEqual((await targetOf(b)).state, 'suspect');
  assert.ok((await targetOf(a)).driftChunks > 0, 'and is counted');
});

test('two daemons, and roles that cannot be', async (t) => {
  const pair = await startPair(t, { sizeBytes: DISK_BYTES });
  const { a, b, folder, config } = pair;
  const other = join(folder, 'other.conf');
  const moved = readFileSync(config, 'utf8')
    .replaceAll('a.ctl', 'a2.ctl')
    .replaceAll('a.nbd', 'a2.nbd');
  writeFileSync(other, moved);
  const twin = new RealNode('a', folder, other, []);
  assert.equal(await twin.hastdEnds(), 75);
  assert.match(a.log(), new RegExp(`hastd: .*/a: another hastd \\(pid ${a.pid}\\)`));

  const hastd = join(import.meta.dirname, '../../src/hastd.cjs');
  const detached = await finish(process.execPath, [hastd, '-c', config, '--node', 'a']);
  assert.equal(detached.status, 75, 'in the background too');
  assert.match(detached.stderr, new RegExp(`another hastd \\(pid ${a.pid}\\)`));

  const guest = await Client.open({ path: a.nbdSocket }, 'vm1');
  t.after(() => guest.socket.destroy());
  await fails(a, 2, /has been its primary.*create --force/, 'role', 'secondary', 'vm1');
  const written = await guest.ask({ type: CMD.WRITE, offset: 0 }, Buffer.alloc(4096, 8));
  assert.equal(written.error, 0, 'the guest has not noticed');
  await fails(b, 2, /role is secondary; this needs the primary role/, 'sync', 'vm1', '--wait');
  await fails(a, 2, /needs the role init/, 'create', '--force', 'vm1');
  await fails(a, 1, /no resource vm9 on this node \(there is: vm1\)/, 'status', 'vm9');
  await nothingLost(pair);
  await fails(
    b,
    5,
    /primary answers and is still primary.*--accept-loss/,
    'role',
    'primary',
    'vm1',
  );
  assert.equal((await targetOf(b)).link, 'up', 'asking changed nothing');
  const unknown = await finish('nbdinfo', [a.nbdUri.replace('vm1', 'vm9')]);
  assert.notEqual(unknown.status, 0);
  await nothingLost(pair);
});

test('both have been made primary: the first one says so at once', async (t) => {
  const pair = await startPair(t, { sizeBytes: 8 * MIB, config: 'interval 1h' });
  const { a, b } = pair;
  await round(a);
  await b.ask('role', 'primary', '--accept-loss', 'vm1');
  await until('the first one notices', async () => (await targetOf(a)).data === 'diverged');
  const said = await a.ctl('status', '--check');
  assert.equal(said.status, 2, said.stdout);
  assert.match(said.stdout, /primary on node b and at the other end too.*stop the guest of one/);
});
