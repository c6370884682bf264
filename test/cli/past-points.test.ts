// restore, verify, diff and serve of a resource's point, as hastctl says them: against a fake
// daemon on a real socket; and what is of archives only. What is read is in test/real/past.test.ts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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
const opened = { event: 'opened' as const, point: disk, from: null, uri: null };
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
  const lines = made.out.split('\n');
  assert.equal(lines[0], `${path}: is vm1@42 of 2026-11-20T02:00:00Z, every chunk verified`);
  assert.match(lines[1] ?? '', /^ {2}193 KiB in .*: 64\.5 KiB written$/);
  assert.ok(readFileSync(path).equals(image));
  assert.ok(!existsSync(`${path}.hast-restore`));
  const asked = { what: 'read', point: '2026-11-20T02:00Z', from: null };
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', asked]);
  const again = parsed(await hastctl([...before, '--json', 'restore', '--delta', 'vm1@42', path]));
  assert.deepEqual([again['writtenBytes'], again['equalBytes']], [0, SIZE]);
  assert.deepEqual([again['resource'], again['how'], again['path']], ['vm1', 'delta', path]);
  assert.deepEqual(again['point'], { id: disk.id, number: 42, time: disk.time });
});

test('a daemon that breaks off leaves a disk that the same command goes on with', async (t) => {
  const { before, api, folder } = await served(t);
  api.pointEvents = [opened, ...CHUNKS.slice(0, 1)];
  api.pointFailure = new ControlError({ code: 'CONTROL_FAILED', text: 'the disk is gone' });
  const path = join(folder, 'new.img');
  const failed = await hastctl([...before, 'restore', 'vm1@42', path]);
  assert.equal(failed.status, 70);
  assert.match(
    failed.err,
    /new\.img is not finished, 66 % are done; the same command goes on with it\n.*the disk is gone/,
  );
  assert.ok(existsSync(`${path}.hast-restore`));
  api.pointFailure = null;
  api.pointEvents = [opened, ...CHUNKS];
  const rest = parsed(await hastctl([...before, '--json', 'restore', 'vm1@42', path]));
  assert.deepEqual([rest['how'], rest['writtenBytes']], ['go-on', 512]);
  assert.ok(readFileSync(path).equals(image));
});

test('nothing is made without the point, nothing that is there is touched', async (t) => {
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
  const again = `hastctl restore vm1@42 ${path} --delta --config ${before[1]} --node a`;
  assert.ok(refused.err.endsWith(`, whatever it has: ${again}\n`), refused.err);
  assert.equal(readFileSync(path, 'utf8'), 'mine');
});

test('what is of archives only is refused for a resource, and the other way round', async (t) => {
  const { before, api, folder } = await served(t);
  const path = join(folder, 'new.img');
  const cases: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['restore', 'vm1', path], 64, /vm1 names no point; add one, vm1@latest/],
    [['restore', '@42', path], 64, /@42 names no resource/],
    [['serve', 'vm1@'], 65, /a point is latest, a number/],
    [['diff', 'vm1@1', 'vm2@1'], 64, /of one resource are compared, not of vm1 and vm2/],
    [['diff', 'vm1@1', 'file:///none/vm1@1'], 64, /is compared with another of an archive/],
    [['verify', 'vm1@1', '--deep'], 64, /--deep is of a resource; vm1@1 is always read/],
    [['verify', 'file:///none/vm1', '--deep'], 64, /--deep is of a resource/],
    [['points', 'vm1@1'], 64, /leave out @1/],
    [['pin', 'vm1', 'good'], 64, /vm1 names no point/],
    [['pin', 'vm1@1', '7'], 65, /is read as something else than a name/],
    [['unpin', 'vm1@1'], 64, /vm1@1 names no pin; write vm1@NAME/],
    ...['--endpoint', '--region', '--checksums', '--key'].map(
      (option) => [['points', 'vm1', option, 'x'], 64, ofArchives(option, 'vm1')] as const,
    ),
    [['restore', 'vm1@1', path, '--key', 'x'], 64, ofArchives('--key', 'vm1@1')],
    [['diff', 'vm1@1', '2', '--key', 'x'], 64, ofArchives('--key', 'vm1@1')],
    [['verify', 'vm1', '--quick'], 64, ofArchives('--quick', 'vm1')],
    [['verify', 'vm1@1', '--sample', '5%'], 64, ofArchives('--sample', 'vm1@1')],
    ...['--overlay', '--socket', '--listen', '--cache'].map(
      (option) => [['serve', 'vm1@1', option, 'x'], 64, ofArchives(option, 'vm1@1')] as const,
    ),
    [['serve', 'vm1@1', '--writable'], 64, ofArchives('--writable', 'vm1@1')],
    [['serve', 'vm1@1', '--once'], 64, ofArchives('--once', 'vm1@1')],
  ];
  for (const [words, status, text] of cases) {
    const refused = await hastctl([...before, ...words]);
    assert.equal(refused.status, status, words.join(' '));
    assert.match(refused.err, text);
  }
  assert.deepEqual(api.asked, [], 'the daemon was not asked');
  assert.ok(!existsSync(path));
});

test('pin and unpin of a point that hastd keeps', async (t) => {
  const { before, api } = await served(t);
  const pinned = await hastctl([...before, 'pin', 'vm1@2026-11-20T02:00Z', 'good']);
  assert.deepEqual([pinned.status, pinned.err], [0, '']);
  assert.equal(pinned.out, 'vm1@good: point 42, which stays until it is unpinned\n');
  const unpinned = await hastctl([...before, '--json', 'unpin', 'vm1@good']);
  assert.equal(unpinned.status, 0, unpinned.err);
  assert.deepEqual(api.asked, [
    ['pin', 'vm1', { point: '2026-11-20T02:00Z', label: 'good' }],
    ['pin', 'vm1', { point: 'good', label: null }],
  ]);
});

const ofArchives = (option: string, written: string): RegExp =>
  new RegExp(`${option} is for an archive, and ${written} is none`);

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
  assert.match(damaged.out, /20 chunks cannot be had .*\n {2}no 0\n.* {2}and 4 more chunks\n$/s);
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
  assert.match(
    text.out,
    /^vm1@41 of .*\nvm1@42 of .*\n {2}Offset +Length\n {2}0 +4096\n {2}65536 +8192\n12288 bytes \(/,
  );
  assert.match(text.out, / differ in 2 ranges, by blocks of 4 KiB\n$/);
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', { what: 'diff', point: '42', from: '41' }]);
  const json = parsed(await hastctl([...before, '--json', 'diff', 'vm1@41', 'vm1@42']));
  assert.deepEqual([json['differingBytes'], json['rangesLeftOut']], [12_288, 0]);
  assert.deepEqual(json['ranges'], [
    { offset: 0, length: 4096 },
    { offset: 65_536, length: 8192 },
  ]);
  const points = json['points'] as { resource: string; number: number }[];
  assert.deepEqual(
    points.map(({ resource, number }) => `${resource}@${number}`),
    ['vm1@41', 'vm1@42'],
  );
  api.pointEvents = api.pointEvents.slice(0, 1);
  const same = await hastctl([...before, 'diff', 'vm1@41', '42']);
  assert.match(same.out, /\nthey are equal\n$/);
  assert.deepEqual(api.asked.at(-1), ['point', 'vm1', { what: 'diff', point: '42', from: '41' }]);
});

test('serve prints the URI and holds on until it is interrupted', async (t) => {
  const { before, api } = await served(t);
  const uri = 'nbd+unix:///vm1%4042?socket=/run/hast/nbd.sock';
  api.pointEvents = [{ event: 'opened', point: disk, from: null, uri }];
  api.hold = new Promise(() => {});
  const args = [HASTCTL, ...before, 'serve', 'vm1@42'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    err += piece;
  });
  let text = '';
  for await (const piece of child.stdout.setEncoding('utf8')) {
    text += String(piece);
    if (text.endsWith('\n')) break;
  }
  assert.equal(text, `${uri}\n`);
  assert.match(err, /vm1@42 of .*, read-only, until interrupted\nhastctl: qemu: -blockdev /);
  child.kill('SIGINT');
  const [status] = await once(child, 'exit');
  assert.equal(status, 0);
  await api.aborted;
});

/** A command that is interrupted when `reached`; the daemon has no more to say by then. */
async function interrupted(t: TestContext, args: readonly string[], reached: () => boolean) {
  const child = spawn(process.execPath, [HASTCTL, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    err += piece;
  });
  const closed = once(child, 'close');
  while (!reached()) {
    assert.equal(child.exitCode, null, err);
    await sleep(5);
  }
  child.kill('SIGINT');
  const [status] = await closed;
  return { status: Number(status), err };
}

test('restore, interrupted, ends with 75, and the same command goes on', async (t) => {
  const { before, api, folder } = await served(t);
  const path = join(folder, 'new.img');
  api.pointEvents = [opened, ...CHUNKS.slice(0, 1)];
  api.hold = new Promise(() => {});
  const isBegun = (): boolean => existsSync(path) && readFileSync(path)[0] === 7;
  const stopped = await interrupted(t, [...before, 'restore', 'vm1@42', path], isBegun);
  assert.equal(stopped.status, 75, stopped.err);
  assert.match(stopped.err, /new\.img is not finished, 66 % are done; the same command goes on/);
  await api.aborted;
  api.pointEvents = [{ ...opened, point: point({ id: '12'.repeat(16), number: 43 }) }, ...CHUNKS];
  api.hold = null;
  const other = await hastctl([...before, 'restore', 'vm1@43', path]);
  assert.equal(other.status, 73, other.err);
  assert.match(other.err, /an unfinished restore of vm1@42, and vm1@43 is another point/);
  api.pointEvents = [opened, ...CHUNKS];
  const rest = await hastctl([...before, 'restore', 'vm1@42', path]);
  assert.equal(rest.status, 0, rest.err);
  assert.match(rest.err, /going on with the restore of point 42/);
  assert.ok(readFileSync(path).equals(image));
});

test('verify, interrupted, ends with 75', async (t) => {
  const { before, api } = await served(t);
  api.pointEvents = [opened, { event: 'checked', chunks: 2, totalChunks: 4 }];
  api.hold = new Promise(() => {});
  const isAsked = (): boolean => api.asked.length > 0;
  const stopped = await interrupted(t, [...before, 'verify', 'vm1@latest'], isAsked);
  assert.equal(stopped.status, 75, stopped.err);
  assert.match(stopped.err, /vm1@latest: interrupted before all was checked/);
  await api.aborted;
});
