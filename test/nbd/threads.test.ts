// The way of a connection across threads, as in the daemon: negotiated here, served in a worker.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { listenNbd } from '../../src/nbd/listener.js';
import { scratch } from '../real.js';
import { statusOf } from './chunks.js';
import { Client, CMD, goData, OPT, option, request, words } from './client.js';
import { CONTEXTS } from './memory-disk.js';
import { eventually } from './server.js';

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

test('connections are handed to a worker with what was read, and leave nothing open', async (t) => {
  const worker = new Worker(new URL('./serving-thread.js', import.meta.url));
  t.after(() => worker.terminate());
  const ends: string[] = [];
  const dones: (() => void)[] = [];
  worker.on('message', (reason: string) => {
    ends.push(reason);
    dones.shift()?.();
  });
  const path = join(scratch(t), 's');
  const listener = await listenNbd(
    { address: { kind: 'unix', path } },
    {
      exports: () => [{ name: 'vm1', sizeBytes: 1024 * 1024, readOnly: false, contexts: CONTEXTS }],
      handOver: ({ fd, leftover, agreement, done }) => {
        dones.push(done);
        worker.postMessage({ fd, leftover, agreement }, [leftover.buffer]);
      },
    },
  );
  t.after(() => listener.close());
  let before = 0;
  for (let round = 0; round < 20; round += 1) {
    const client = await Client.connect({ path });
    const data = Buffer.alloc(4096, round);
    client.expect(7n, 0);
    // GO and the first write in one breath: the worker gets part of it as leftover.
    client.raw(
      words([32, 3]),
      option(OPT.GO, goData('vm1')),
      request({ type: CMD.WRITE, offset: 8192, cookie: 7n }, data),
    );
    await client.take(18 + 20 + 12 + 20 + 14 + 20);
    assert.equal((await client.reply(7n)).error, 0);
    const back = await client.ask({ type: CMD.READ, offset: 8192, length: 4096 });
    assert.ok(back.data.equals(data));
    if (round % 2 === 0) client.send({ type: CMD.DISC });
    else client.socket.destroy();
    await client.untilEnd();
    await eventually(() => ends.length === round + 1, 'the worker let go');
    assert.equal(ends[round], round % 2 === 0 ? 'disconnected' : 'lost');
    assert.equal(listener.connections, 0);
    if (round === 1) before = openDescriptors();
  }
  await eventually(() => openDescriptors() <= before, 'no descriptor is left');

  // What was negotiated here holds there.
  const client = await Client.open({ path }, 'vm1', { contexts: [CONTEXTS[1]] });
  const reply = await client.ask({ type: CMD.BLOCK_STATUS, length: 8192 });
  assert.deepEqual(
    statusOf(reply.chunks).map(({ context, runs }) => [client.contexts.get(context), runs]),
    [[CONTEXTS[1], [[8192, 0]]]],
  );
  client.socket.destroy();
  await eventually(() => ends.length === 21, 'the worker let go');
});
