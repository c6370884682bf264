// How a connection ends, whoever ends it: what the disk has is waited for, what was answered holds,
// and nothing is left behind.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deferred } from '../../src/base/sync.js';
import { Client, CMD, request, words } from './client.js';
import { MemoryDisk } from './memory-disk.js';
import { eventually, startServer } from './server.js';

const MIB = 1024 * 1024;

test('a wrong magic ends the connection after what came before is answered', async (t) => {
  const disk = new MemoryDisk(MIB);
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  client.raw(
    request({ type: CMD.FLUSH, cookie: 5n }),
    request({ type: CMD.READ, magic: 0x12560953, length: 1 }),
    request({ type: CMD.WRITE }, Buffer.alloc(512, 1)),
  );
  assert.deepEqual(await client.untilEnd(), words([32, 0x67446698], [32, 0], [64, 5]));
  await eventually(() => server.ends.length === 1, 'the connection ended');
  assert.deepEqual(server.ends, ['bad-magic']);
  assert.deepEqual(disk.callsOf('write'), []);
});

test('DISC lets everything in flight finish, then closes', async (t) => {
  const disk = new MemoryDisk(MIB);
  disk.pace = 'later';
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  const write = client.send({ type: CMD.WRITE }, Buffer.alloc(4096, 3));
  client.send({ type: CMD.DISC });
  await eventually(() => disk.pending === 1, 'the write is in flight');
  assert.deepEqual(server.ends, []);
  gate.resolve();
  assert.equal((await client.reply(write)).error, 0);
  assert.equal((await client.untilEnd()).length, 0);
  await eventually(() => server.ends.length === 1, 'the connection ended');
  assert.deepEqual(server.ends, ['disconnected']);
  assert.equal(server.listener.connections, 0);
});

test('a client that goes in the middle of a payload leaves what was written', async (t) => {
  const disk = new MemoryDisk(MIB);
  disk.pace = 'later';
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  client.raw(request({ type: CMD.WRITE, length: 16_384 }), Buffer.alloc(10_000, 7));
  await eventually(() => disk.pending === 1, 'two blocks are in flight');
  client.socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.deepEqual(server.ends, [], 'the disk still has a piece');
  gate.resolve();
  await eventually(() => server.ends.length === 1, 'the connection ended');
  assert.deepEqual(server.ends, ['lost']);
  assert.deepEqual([disk.content[8191], disk.content[8192]], [7, 0]);
  assert.equal(server.counters.writes, 0);
});

test('close waits for the disk, answers, and can be called twice', async (t) => {
  const disk = new MemoryDisk(MIB);
  disk.pace = 'later';
  const gate = deferred<void>();
  disk.hold = gate.promise;
  const server = await startServer(t, { vm1: disk });
  const client = await Client.open({ path: server.path }, 'vm1');
  const read = client.send({ type: CMD.READ, length: 4096 });
  await eventually(() => disk.pending === 1, 'the read is in flight');
  const [connection] = server.connections;
  assert.ok(connection);
  let closed = false;
  const closing = connection.close().then(() => {
    closed = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(closed, false);
  gate.resolve();
  assert.equal((await client.reply(read)).error, 0);
  await closing;
  await connection.close();
  assert.deepEqual(server.ends, ['closed']);
});
