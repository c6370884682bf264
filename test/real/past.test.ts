// The past of a secondary, with two real hastd: restore, verify, diff and serve of every retained
// point against the images that the primary had at the cuts, by hastctl and by clients of NBD; also
// while rounds go on, and after the points were dropped.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { needTool } from '../real.js';
import { assertSameImages, MIB, qemuIo, seededBytes, succeed } from './images.js';
import { finish, type Pair, startPair } from './nodes.js';
import { round, takeRole, until } from './steps.js';

/** The last chunk is short. */
const SIZE = 24 * MIB + 4096 + 512;

interface Past {
  readonly pair: Pair;
  /** Images of points 1, 2, ... as the primary had them. */
  readonly images: readonly string[];
  /** A further round. */
  another(): Promise<void>;
}

/** `rounds` points, retained as `retain` says. */
async function past(t: TestContext, rounds: number, retain: number): Promise<Past> {
  const config = `interval 1h  retain ${retain}`;
  const pair = await startPair(t, { sizeBytes: SIZE, config });
  const images: string[] = [];
  const another = async (): Promise<void> => {
    const seed = images.length + 1;
    await write(pair, seed);
    await round(pair.a);
    const image = join(pair.folder, `point-${seed}.img`);
    copyFileSync(pair.a.image, image);
    images.push(image);
  };
  for (let made = 0; made < rounds; made += 1) await another();
  return { pair, images, another };
}

/** Data, zeroes and single blocks, here and there by seed; the last sectors now and then. */
async function write({ a }: Pair, seed: number): Promise<void> {
  const bytes = seededBytes(seed, 64);
  const commands = Array.from({ length: 12 }, (_, at) => {
    const offset = (bytes.readUInt32LE(at * 4) % (23 * 256)) * 4096;
    if (at % 4 === 3) return `write -z ${offset} 200k`;
    return `write -P ${(seed * 12 + at) % 256} ${offset} ${at % 3 === 0 ? '300k' : '4k'}`;
  });
  if (seed % 2 === 0) commands.push(`write -P ${seed} ${SIZE - 1024} 1k`);
  await qemuIo(a.nbdUri, ...commands, 'flush');
}

const undos = ({ folder }: Pair): number =>
  readdirSync(join(folder, 'b', 'vm1')).filter((name) => name.startsWith('undo-')).length;

/** hastctl that goes on until it is interrupted, with what it has printed so far. */
function served(t: TestContext, { config }: Pair, point: string) {
  const hastctl = join(import.meta.dirname, '../../src/hastctl.js');
  const args = [hastctl, '-c', config, '--node', 'b', '--json', 'serve', point];
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const said = { text: '', out: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (piece: string) => {
      said.text += piece;
      if (stream === child.stdout) said.out += piece;
    });
  }
  const ended = once(child, 'exit').then(([status]) => Number(status));
  const uri = async (): Promise<string> => {
    await until(`${point} is served: ${said.text}`, async () => said.out.endsWith('}\n'));
    return String((JSON.parse(said.out) as { uri: string }).uri);
  };
  return { child, ended, uri, said };
}

test('restore, verify and diff of every point; nothing is overwritten unnamed', async (t) => {
  const { pair, images } = await past(t, 5, 4);
  const { b, folder } = pair;
  const { points } = (await b.ask('points', 'vm1')) as { points: { number: number }[] };
  assert.deepEqual(
    points.map(({ number }) => number),
    [2, 3, 4, 5],
  );
  for (const number of [2, 3, 4, 5]) {
    const path = join(folder, `restored-${number}.img`);
    await b.ask('restore', `vm1@${number}`, path);
    assert.equal(statSync(path).size, SIZE);
    assertSameImages(images[number - 1] ?? '', path);
    const checked = (await b.ask('verify', `vm1@${number}`)) as Record<string, unknown>;
    assert.deepEqual([checked['chunks'], checked['damagedChunks']], [385, 0]);
  }
  const path = join(folder, 'restored-2.img');
  const before = readFileSync(path);
  const refused = await b.ctl('restore', 'vm1@5', path);
  assert.equal(refused.status, 73, refused.stderr);
  assert.match(refused.stderr, /is there already .*: hastctl restore vm1@5 .* --delta --config /);
  assert.deepEqual(readFileSync(path), before);
  truncateSync(path, SIZE - MIB);
  const delta = (await b.ask('restore', '--delta', 'vm1@latest', path)) as Record<string, number>;
  assertSameImages(images[4] ?? '', path);
  assert.ok(
    (delta['writtenBytes'] ?? SIZE) < 8 * MIB,
    `only what differs: ${delta['writtenBytes']}`,
  );
  truncateSync(path, SIZE + 512);
  await b.ask('restore', '--delta', 'vm1@5', path);
  assertSameImages(images[4] ?? '', path);
  const gone = await b.ctl('restore', 'vm1@1', join(folder, 'none.img'));
  assert.equal(gone.status, 1, gone.stderr);
  assert.match(gone.stderr, /vm1 has no point 1; it has 4, 2 to 5/);
  assert.ok(!existsSync(join(folder, 'none.img')));
  assert.equal((await pair.a.ctl('restore', 'vm1@5', join(folder, 'none.img'))).status, 2);
  assert.equal((await b.ctl('restore', 'vm1', join(folder, 'none.img'))).status, 64);
});

test('diff names what differs, either way round', async (t) => {
  const { pair, images } = await past(t, 4, 4);
  const read = (number: number): Buffer => readFileSync(images[number - 1] ?? '');
  for (const [one, other] of [
    [1, 2],
    [4, 1],
    [2, 4],
    [3, 3],
  ] as const) {
    type Answer = { differingBytes: number; ranges: { offset: number; length: number }[] };
    const found = (await pair.b.ask('diff', `vm1@${one}`, `vm1@${other}`)) as Answer;
    const named = Buffer.alloc(SIZE);
    for (const { offset, length } of found.ranges) named.fill(1, offset, offset + length);
    assert.equal(
      found.differingBytes,
      found.ranges.reduce((sum, { length }) => sum + length, 0),
    );
    const [before, after] = [read(one), read(other)];
    for (let at = 0; at < SIZE; at += 512) {
      if (before.compare(after, at, at + 512, at, at + 512) === 0) continue;
      assert.equal(named[at], 1, `byte ${at} of ${one} and ${other}`);
    }
    if (one === other) assert.deepEqual(found.ranges, []);
    else assert.ok(found.differingBytes < 8 * MIB);
  }
  const { stdout } = await pair.b.ctl('diff', 'vm1@1', 'vm1@2');
  assert.match(stdout, /^vm1@1 of .*\nvm1@2 of .*\n {2}Offset +Length\n {2}\d+ +\d+\n/);
  assert.match(stdout, /\n\d+ bytes \(.*\) differ in \d+ ranges, by blocks of 4 KiB\n$/);
  assert.equal((await pair.b.ctl('diff', 'vm1@1', 'vm2@2')).status, 64);
});

test('an old point is served over NBD while rounds go on and drop it', async (t) => {
  if (!needTool(t, 'nbdcopy', 'nbdinfo', 'qemu-img')) return;
  const { pair, images, another } = await past(t, 3, 2);
  const { b, folder } = pair;
  const [first, second] = [served(t, pair, 'vm1@2'), served(t, pair, 'vm1@latest')];
  const uri = await first.uri();
  assert.match(uri, /\/vm1%402\?socket=/);
  const info = await succeed('nbdinfo', '--json', uri);
  const [export_] = (info.json as { exports: Record<string, unknown>[] }).exports;
  assert.deepEqual([export_?.['export-size'], export_?.['is_read_only']], [SIZE, true]);
  const taken = await b.ctl('serve', 'vm1@2');
  assert.equal(taken.status, 75, taken.stderr);
  // Copied, compared and read at random while four rounds are applied over it.
  const rounds = (async () => {
    for (let more = 0; more < 4; more += 1) await another();
  })();
  for (let copy = 0; copy < 4; copy += 1) {
    const path = join(folder, `copy-${copy}.img`);
    await succeed('nbdcopy', uri, path);
    truncateSync(path, SIZE);
    assertSameImages(images[1] ?? '', path);
    const compared = await finish('qemu-img', [
      ...['compare', '-f', 'raw', '-F', 'raw', images[2] ?? '', await second.uri()],
    ]);
    assert.equal(compared.status, 0, compared.stdout + compared.stderr);
  }
  await rounds;
  await succeed('nbdcopy', uri, join(folder, 'dropped.img'));
  assertSameImages(images[1] ?? '', join(folder, 'dropped.img'));
  const written = await finish('qemu-io', ['-f', 'raw', '-c', 'write 0 4k', uri]);
  assert.notEqual(written.status, 0, 'it is read-only');
  assert.equal(undos(pair), 5, 'what is read is kept');
  first.child.kill('SIGINT');
  assert.equal(await first.ended, 0, first.said.text);
  second.child.kill('SIGKILL');
  await until('what nobody reads is removed', async () => undos(pair) === 1);
  assert.notEqual((await finish('nbdinfo', [uri])).status, 0, 'withdrawn');
  await b.ask('verify', 'vm1@latest');
});

test('the end of the role ends what is served; a crash leaves nothing behind', async (t) => {
  if (!needTool(t, 'nbdinfo')) return;
  const { pair, another } = await past(t, 3, 2);
  const { b } = pair;
  const one = served(t, pair, 'vm1@2');
  await succeed('nbdinfo', await one.uri());
  await takeRole(b, 'init');
  assert.equal(await one.ended, 2, one.said.text);
  await takeRole(b, 'secondary');
  const two = served(t, pair, 'vm1@2');
  await two.uri();
  for (let more = 0; more < 3; more += 1) await another();
  assert.equal(undos(pair), 4);
  await b.kill('SIGKILL');
  assert.equal(await two.ended, 69, two.said.text);
  await b.hastd();
  assert.equal(undos(pair), 1);
  const three = served(t, pair, 'vm1@latest');
  await three.uri();
  assert.equal(await b.kill('SIGTERM'), 0, b.log());
  await three.ended;
});

test('a point that has rotted is said to be, and is not restored', async (t) => {
  const { pair } = await past(t, 3, 3);
  const { b, folder } = pair;
  await b.kill('SIGTERM');
  const [undo = ''] = readdirSync(join(folder, 'b', 'vm1')).filter((name) =>
    name.startsWith('undo-'),
  );
  const path = join(folder, 'b', 'vm1', undo);
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(700) ^ 1, 700);
  (await import('node:fs')).writeFileSync(path, bytes);
  await b.hastd();
  const failed = await Promise.all(
    [1, 2].map((number) => b.ctl('--json', 'verify', `vm1@${number}`)),
  );
  const damaged = failed.filter(({ status }) => status === 7);
  assert.ok(damaged.length > 0, JSON.stringify(failed));
  const at = failed[0]?.status === 7 ? 1 : 2;
  const restored = await b.ctl('restore', `vm1@${at}`, join(folder, 'bad.img'));
  assert.equal(restored.status, 74, restored.stderr);
  assert.match(restored.stderr, /not a whole/);
  assert.match(restored.stderr, /is not finished, \d+ % are done; the same command goes on/);
  assert.match(restored.stderr, new RegExp(`what is damaged, says: hastctl verify vm1@${at}\n`));
  await b.ask('verify', 'vm1@3');
});
