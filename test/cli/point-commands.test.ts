// restore, verify, diff and serve of a point, as hastctl says them: against a fake daemon on a real
// socket. What is read is in test/real/past.test.ts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHUNK_BYTES } from '../../src/base/units.js';
import { ControlError, type PointEvent } from '../../src/control/api.js';
import { point } from '../control/fake-api.js';
import { HASTCTL, hastctl, parsed, served } from './run-hastctl.js';

/** Three chunks and a short one: data, zeroes, zeroes, data. */
const SIZE = 3 * CHUNK_BYTES + 512;
const image = Buffer.alloc(SIZE);
image.fill(7, 0, CHUNK_BYTES);
image.fill(8, 3 * CHUNK_BYTES);
const disk = point({ sizeBytes: SIZE, target: null });
const opened: PointEvent = { event: 'opened', point: disk, from: null, uri: null };
const CHUNKS: readonly PointEvent[] = [
  { event: 'chunks', first: 0, count: 2, carried: [0], bytes: image.subarray(0, CHUNK_BYTES) },
  { event: 'chunks', first: 2, count: 2, carried: [3], bytes: image.subarray(3 * CHUNK_BYTES) },
];

test('restore asks for the point and writes what comes', async (t) => {
  const { before, api, folder } = await served(t);
  api.pointEvents = [opened, ...CHUNKS];
  const path = join(folder, 'new.img');
  const made = await hastctl([...before, 'restore', 'vm1@2026-11-20T02:00Z', path]);
  assert.equal(made.status, 0, made.err);
  assert.match(made.out, /^vm1@42 of 2026-11-20T02:00:00Z stands in .*new\.img: 64\.5 KiB written/);
  assert.ok(readFileSync(path).equals(image));
  const asked = { what: 'read', point: '2026-11-20T02:00Z', from: null };
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', asked]);
  const again = parsed(await hastctl([...before, '--json', 'restore', '--delta', 'vm1@42', path]));
  assert.deepEqual([again['writtenBytes'], again['equalBytes']], [0, SIZE]);
});

test('a daemon that breaks off leaves a disk that is said not to be whole', async (t) => {
  const { before, api, folder } = await served(t);
  api.pointEvents = [opened, ...CHUNKS.slice(0, 1)];
  api.pointFailure = new ControlError({ code: 'CONTROL_FAILED', text: 'the disk is gone' });
  const path = join(folder, 'new.img');
  const failed = await hastctl([...before, 'restore', 'vm1@42', path]);
  assert.equal(failed.status, 70);
  assert.match(failed.err, /new\.img is not whole.*\n.*the disk is gone/);
  api.pointFailure = null;
  api.pointEvents = [opened, ...CHUNKS];
  const rest = await hastctl([...before, 'restore', '--delta', 'vm1@42', path]);
  assert.equal(rest.status, 0, rest.err);
  assert.ok(readFileSync(path).equals(image));
});

test('nothing is made before the daemon has the point, nothing that is there is touched', async (t) => {
  const { before, api, folder } = await served(t);
  const path = join(folder, 'new.img');
  api.pointFailure = new ControlError({ code: 'CONTROL_BAD_REQUEST', text: 'no such point' });
  assert.equal((await hastctl([...before, 'restore', 'vm1@x', path])).status, 65);
  assert.ok(!existsSync(path));
  writeFileSync(path, 'mine');
  api.pointFailure = null;
  api.pointEvents = [opened, ...CHUNKS];
  const refused = await hastctl([...before, 'restore', 'vm1@42', path]);
  assert.equal(refused.status, 73);
  assert.doesNotMatch(refused.err, /not whole/);
  assert.equal(readFileSync(path, 'utf8'), 'mine');
  for (const words of [
    ['restore', 'vm1', path],
    ['restore', '@42', path],
    ['serve', 'vm1@'],
    ['diff', 'vm1@1', 'vm2@1'],
    ['verify', 'vm1@1', '--deep'],
  ]) {
    assert.equal((await hastctl([...before, ...words])).status, 65, words.join(' '));
  }
});

test('verify of a point: all is well, or what is damaged and status 7', async (t) => {
  const { before, api } = await served(t);
  api.pointEvents = [opened, { event: 'checked', chunks: 4, totalChunks: 4 }];
  const good = await hastctl([...before, 'verify', 'vm1@latest']);
  assert.deepEqual([good.status, good.err], [0, '']);
  assert.match(good.out, /^vm1@42 of 2026-11-20T02:00:00Z: 4 chunks read, each has its digest\n$/);
  assert.deepEqual(api.asked.at(-1), [
    'point',
    'vm1',
    { what: 'check', point: 'latest', from: null },
  ]);
  const code = 'POINT_CHUNK_LOST';
  const bad = Array.from({ length: 20 }, (_, at): PointEvent => {
    return { event: 'bad', offset: at * CHUNK_BYTES, length: CHUNK_BYTES, code, text: `no ${at}` };
  });
  api.pointEvents = [opened, ...bad, { event: 'checked', chunks: 20, totalChunks: 20 }];
  const damaged = await hastctl([...before, 'verify', 'vm1@42']);
  assert.equal(damaged.status, 7);
  assert.match(damaged.out, /20 chunks cannot be had .*\n {2}no 0\n.* {2}and 4 chunks more\n$/s);
  assert.match(damaged.err, /vm1@42: 20 chunks of 64 KiB cannot be had/);
});

test('diff lists offsets and lengths', async (t) => {
  const { before, api } = await served(t);
  const from = point({ number: 41 });
  api.pointEvents = [
    { event: 'opened', point: disk, from, uri: null },
    { event: 'ranges', ranges: [[0, 4096]] },
    { event: 'ranges', ranges: [[65_536, 8192]] },
  ];
  const text = await hastctl([...before, 'diff', 'vm1@41', 'vm1@42']);
  const rows = 'Offset  Length\n0       4096\n65536   8192\n';
  assert.equal(text.out, `vm1@41 and vm1@42: 12288 (12.0 KiB) in 2 ranges\n${rows}`);
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', { what: 'diff', point: '42', from: '41' }]);
  const json = parsed(await hastctl([...before, '--json', 'diff', 'vm1@41', 'vm1@42']));
  assert.deepEqual([json['bytes'], json['ranges']], [12_288, 2]);
  api.pointEvents = api.pointEvents.slice(0, 1);
  const same = await hastctl([...before, 'diff', 'vm1@41', 'vm1@42']);
  assert.equal(same.out, 'vm1@41 and vm1@42: the same\n');
});

test('serve prints the URI and holds on until it is interrupted', async (t) => {
  const { before, api } = await served(t);
  const uri = 'nbd+unix:///vm1%4042?socket=/run/hast/nbd.sock';
  api.pointEvents = [{ event: 'opened', point: disk, from: null, uri }];
  api.hold = new Promise(() => {});
  const args = [HASTCTL, ...before, 'serve', 'vm1@42'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  for await (const piece of child.stdout.setEncoding('utf8')) {
    text += String(piece);
    if (text.includes('qemu') || text.includes('-blockdev')) break;
  }
  assert.match(text, /read-only until this is interrupted:\n {2}nbd\+unix:.*\n {2}-blockdev /);
  child.kill('SIGINT');
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
  await api.aborted;
});
