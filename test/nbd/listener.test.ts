// The listener: who may connect, what it does with an occupied path, its limits, the handing over.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { closeFd } from '../../src/disk/syscalls.js';
import type { NbdAddress } from '../../src/nbd/addresses.js';
import { LISTENER_LIMITS, type ListenerLimits } from '../../src/nbd/limits.js';
import {
  type HandedConnection,
  type ListenerParts,
  listenNbd,
  type NbdListener,
} from '../../src/nbd/listener.js';
import { scratch } from '../real.js';
import { Client, goData, OPT, option, words } from './client.js';
import { eventually } from './server.js';

const EXPORTS = [{ name: 'vm1', sizeBytes: 4096, readOnly: false, contexts: [] }];
const GO = Buffer.concat([words([32, 3]), option(OPT.GO, goData('vm1'))]);
const GO_REPLY_BYTES = 18 + 20 + 12 + 20 + 14 + 20;

interface Started {
  readonly listener: NbdListener;
  readonly handed: HandedConnection[];
}

async function start(
  t: TestContext,
  address: NbdAddress,
  limits: Partial<ListenerLimits> = {},
  parts: Partial<ListenerParts> = {},
): Promise<Started> {
  const handed: HandedConnection[] = [];
  const listener = await listenNbd(
    { address, limits: { ...LISTENER_LIMITS, ...limits } },
    { exports: () => EXPORTS, handOver: (one) => void handed.push(one), ...parts },
  );
  t.after(async () => {
    await listener.close();
    for (const one of handed) closeFd(one.fd);
  });
  return { listener, handed };
}

const refused = (address: NbdAddress, code: string): Promise<void> =>
  assert.rejects(
    listenNbd({ address }, { exports: () => EXPORTS, handOver: () => {} }),
    (error) => codeOf(error) === code,
  );

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

test("the socket is its owner's, and goes away with the listener", async (t) => {
  const path = join(scratch(t), 's');
  const { listener } = await start(t, { kind: 'unix', path });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await listener.close();
  await listener.close();
  assert.ok(!existsSync(path));
});

test('or of one group as well', async (t) => {
  const path = join(scratch(t), 's');
  const gid = process.getgid?.() === 0 ? 12_345 : (process.getgid?.() ?? 0);
  await start(t, { kind: 'unix', path, gid });
  assert.equal(statSync(path).mode & 0o777, 0o660);
  assert.equal(statSync(path).gid, gid);
});

test('the umask of the process is as before', async (t) => {
  const before = process.umask();
  await start(t, { kind: 'unix', path: join(scratch(t), 's') });
  assert.equal(process.umask(), before);
});

test('a socket left behind by a killed process is replaced', async (t) => {
  const path = join(scratch(t), 's');
  const code = `require('node:net').createServer().listen(${JSON.stringify(path)})`;
  const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  await eventually(() => existsSync(path), 'the other process listens');
  await refused({ kind: 'unix', path }, 'NBD_ADDRESS_IN_USE');
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  assert.ok(existsSync(path));
  const { handed } = await start(t, { kind: 'unix', path });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const client = await Client.connect({ path });
  client.raw(GO);
  await client.take(GO_REPLY_BYTES);
  assert.equal(handed.length, 1);
});

test('what cannot be listened on is said', async (t) => {
  const folder = scratch(t);
  const file = join(folder, 'file');
  writeFileSync(file, 'not a socket');
  await refused({ kind: 'unix', path: file }, 'NBD_PATH_NOT_A_SOCKET');
  assert.ok(existsSync(file));
  await refused({ kind: 'unix', path: join(folder, 'x'.repeat(120)) }, 'NBD_PATH_TOO_LONG');
  await refused({ kind: 'unix', path: join(folder, 'no', 's') }, 'NBD_LISTEN_FAILED');
  for (const host of ['0.0.0.0', '::', '192.0.2.1', 'example.org', '127.0.0.1.example.org']) {
    await refused({ kind: 'tcp', host, port: 0 }, 'NBD_NOT_LOOPBACK');
  }
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.after(() => other.close());
  const bound = other.address();
  assert.ok(typeof bound === 'object' && bound !== null);
  await refused({ kind: 'tcp', host: '127.0.0.1', port: bound.port }, 'NBD_ADDRESS_IN_USE');
});

test('TCP on loopback hands over too, and names its port', async (t) => {
  const { listener, handed } = await start(t, { kind: 'tcp', host: '127.0.0.1', port: 0 });
  const { address } = listener;
  assert.ok(address.kind === 'tcp' && address.port > 0);
  const client = await Client.connect({ host: '127.0.0.1', port: address.port });
  client.raw(GO);
  await client.take(GO_REPLY_BYTES);
  assert.equal(handed[0]?.exportName, 'vm1');
});

test('a handed connection stays open, unread here, and ends with its descriptor', async (t) => {
  const path = join(scratch(t), 's');
  const { listener, handed } = await start(t, { kind: 'unix', path });
  const client = await Client.connect({ path });
  client.raw(GO, Buffer.from('early'));
  await client.take(GO_REPLY_BYTES);
  const [one] = handed;
  assert.ok(one);
  assert.equal(Buffer.from(one.leftover).toString(), 'early');
  assert.equal(listener.connections, 1);
  client.raw(Buffer.from('later'));
  await listener.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(!client.socket.readableEnded);
  handed.length = 0;
  closeFd(one.fd);
  await client.untilEnd();
  one.done();
  one.done();
  assert.equal(listener.connections, 0);
});

test('a hand-over that fails closes the connection and frees its place', async (t) => {
  const path = join(scratch(t), 's');
  const handOver = (): never => {
    throw new RangeError('no thread for it');
  };
  const { listener } = await start(t, { kind: 'unix', path }, {}, { handOver });
  const before = openDescriptors();
  const client = await Client.connect({ path });
  client.raw(GO);
  await client.untilEnd();
  assert.equal(listener.connections, 0);
  await eventually(() => openDescriptors() <= before, 'no descriptor is left');
});

test('limits: connections in negotiation, and in all', async (t) => {
  const path = join(scratch(t), 's');
  const limits = { negotiatingMax: 2, connectionsMax: 3 };
  const { listener, handed } = await start(t, { kind: 'unix', path }, limits);
  const one = await Client.connect({ path });
  const two = await Client.connect({ path });
  await one.take(18);
  await two.take(18);
  const turnedAway = async (): Promise<number> =>
    (await (await Client.connect({ path })).untilEnd()).length;
  assert.equal(await turnedAway(), 0);
  for (const client of [one, two]) {
    client.raw(GO);
    await client.take(GO_REPLY_BYTES - 18);
  }
  const three = await Client.connect({ path });
  await three.take(18);
  assert.equal(listener.connections, 3);
  assert.equal(await turnedAway(), 0);
  for (const { done } of handed) done();
  const four = await Client.connect({ path });
  assert.equal((await four.take(18)).length, 18);
});

test('who negotiates too long is cut off; who was handed over is not', async (t) => {
  const path = join(scratch(t), 's');
  const slept: { ms: number; wake: () => void }[] = [];
  const clock = {
    ...systemClock,
    sleep: (ms: number): Promise<void> =>
      new Promise((wake) => {
        slept.push({ ms, wake });
      }),
  };
  await start(t, { kind: 'unix', path }, {}, { clock });
  const slow = await Client.connect({ path });
  const quick = await Client.connect({ path });
  slow.raw(words([32, 3]));
  quick.raw(GO);
  await slow.take(18);
  await quick.take(GO_REPLY_BYTES);
  assert.deepEqual(
    slept.map((one) => one.ms),
    [10_000, 10_000],
  );
  for (const { wake } of slept) wake();
  assert.equal((await slow.untilEnd()).length, 0);
  assert.ok(!quick.socket.destroyed && !quick.socket.readableEnded);
});

test('a client that lists without end and reads nothing is cut off', async (t) => {
  const path = join(scratch(t), 's');
  const many = Array.from({ length: 20_000 }, (_, i) => ({
    name: `${i}${'n'.repeat(200)}`,
    sizeBytes: 512,
    readOnly: true,
    contexts: [],
  }));
  const { listener } = await start(t, { kind: 'unix', path }, {}, { exports: () => many });
  const client = await Client.connect({ path });
  client.socket.pause();
  client.raw(words([32, 3]), ...Array.from({ length: 10 }, () => option(OPT.LIST)));
  await eventually(() => listener.connections === 0, 'it is cut off');
  client.socket.destroy();
});

test('ABORT is answered, then the connection ends; talking on does no harm', async (t) => {
  const path = join(scratch(t), 's');
  const { listener } = await start(t, { kind: 'unix', path });
  const client = await Client.connect({ path });
  client.raw(words([32, 3]), option(OPT.ABORT));
  await client.take(18 + 20);
  client.raw(option(OPT.LIST), Buffer.alloc(1000));
  await client.untilEnd();
  await eventually(() => listener.connections === 0, 'it is gone');
});
