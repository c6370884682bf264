// `hastctl serve` as it is used: the real program on an archive in a directory, and NBD clients of
// others as referees. What they read is the image of the point, byte for byte; what they write is
// aside, and the archive stays as it was.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fillArchive } from '../archive/filled.js';
import { HASTCTL, hastctl } from '../cli/run-hastctl.js';
import { needRoot, needTool, scratch } from '../real.js';
import { assertSameImages, MIB, makeImage, qemuIo, succeed } from './images.js';
import { attachExport } from './mounts.js';
import { finish } from './nodes.js';

const DISK_BYTES = 200 * MIB + 512;
const READY_MS_MAX = 20_000;

interface Serving {
  readonly uri: string;
  readonly child: ChildProcess;
  readonly remarks: () => string;
  /** Status, after the signal or by itself. */
  ended(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Ends with the test at the latest. */
async function serve(t: TestContext, ...args: string[]): Promise<Serving> {
  const child = spawn(process.execPath, [HASTCTL, 'serve', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  const text = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.out += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.err += piece;
  });
  const exit = once(child, 'exit');
  const until = Date.now() + READY_MS_MAX;
  while (!text.out.endsWith('\n')) {
    const left = until - Date.now();
    assert.ok(left > 0 && child.exitCode === null, `no URI: ${text.err}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const ended = async (signal?: NodeJS.Signals): Promise<number | null> => {
    if (signal !== undefined) child.kill(signal);
    const [status] = await exit;
    return status;
  };
  return { uri: text.out.trim(), child, remarks: () => text.err, ended };
}

/** What an archive consists of, so that a change would show; not the store's own scratch place. */
function listing(path: string): string {
  const all = readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();
  const names = all.filter((name) => !name.startsWith('.unfinished'));
  return names
    .map((name) => {
      const { size, mtimeMs, mode } = statSync(join(path, name));
      return `${name} ${size} ${mtimeMs} ${mode}`;
    })
    .join('\n');
}

async function imageAndArchive(t: TestContext) {
  const folder = scratch(t);
  const image = join(folder, 'image');
  makeImage(image, DISK_BYTES, 40 * MIB, 3);
  mkdirSync(join(folder, 'store'));
  const archive = await fillArchive(join(folder, 'store'), image);
  return { folder, image, archive };
}

test('read-only: clients see the image of the point, and end it', async (t) => {
  if (!needTool(t, 'nbdinfo', 'nbdcopy', 'qemu-img', 'qemu-io')) return;
  const { folder, image, archive } = await imageAndArchive(t);
  const first = join(folder, 'first');
  copyFileSync(image, first);
  await succeed(
    'qemu-io',
    '-f',
    'raw',
    '-c',
    'write -P 9 1M 5000k',
    '-c',
    'write -P 8 150M 7k',
    image,
  );
  await archive.round();
  const before = listing(archive.path);
  const socket = join(folder, 'nbd.sock');

  const old = await serve(t, `${archive.url}@1`, '--socket', socket);
  assert.equal(old.uri, `nbd+unix:///?socket=${socket}`);
  const info = await succeed('nbdinfo', old.uri);
  assert.match(info.stdout, /is_read_only: true/);
  assert.match(info.stdout, new RegExp(`export-size: ${DISK_BYTES}\\b`));
  const map = await succeed('nbdinfo', '--map', '--totals', old.uri);
  assert.match(map.stdout, /hole,zero/);
  await succeed('nbdcopy', old.uri, join(folder, 'copy'));
  assertSameImages(first, join(folder, 'copy'));
  const refused = await finish('qemu-io', ['-f', 'raw', '-c', 'write 0 4k', old.uri]);
  assert.notEqual(refused.status, 0);
  assert.equal(await old.ended('SIGTERM'), 0);
  assert.ok(!existsSync(socket));

  const listen = ['--listen', 'tcp://127.0.0.1:0', '--cache', '64M'];
  const latest = await serve(t, `${archive.url}@latest`, '--once', ...listen);
  assert.match(latest.uri, /^nbd:\/\/127\.0\.0\.1:\d+$/);
  await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, latest.uri);
  assert.equal(await latest.ended(), 0, 'its client has gone');
  assert.match(latest.remarks(), /vm1@2 of .*, 200 MiB, read-only/);
  assert.equal(listing(archive.path), before, 'the archive was only read');
});

test('writable: changes are aside, and stay where they have a file', async (t) => {
  if (!needTool(t, 'qemu-io', 'qemu-img')) return;
  const { folder, image, archive } = await imageAndArchive(t);
  const before = listing(archive.path);
  const writes = ['write -P 0x11 0 64k', 'write -P 0x22 70k 100', 'write -z 1M 300k'];
  const more = ['discard 2M 1M', `write -P 0x33 ${DISK_BYTES - 512} 512`, 'flush'];
  const reads = ['read -P 0x11 0 64k', 'read -P 0x22 70k 100', 'read -P 0 1M 300k'];

  const lost = await serve(t, `${archive.url}@latest`, '--writable');
  await qemuIo(lost.uri, ...writes, ...more, ...reads);
  assert.equal(await lost.ended('SIGINT'), 0);
  const again = await serve(t, `${archive.url}@latest`, '--writable', '--once');
  await succeed('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', image, again.uri);
  assert.equal(await again.ended(), 0);

  const changes = join(folder, 'changes');
  const kept = await serve(t, `${archive.url}@latest`, '--overlay', changes);
  await qemuIo(kept.uri, ...writes, ...more);
  kept.child.kill('SIGKILL');
  await kept.ended();
  const resumed = await serve(t, `${archive.url}@latest`, '--overlay', changes);
  await qemuIo(resumed.uri, ...reads, `read -P 0x33 ${DISK_BYTES - 512} 512`);
  const busy = await hastctl(['serve', `${archive.url}@latest`, '--overlay', changes]);
  assert.equal(busy.status, 75, busy.err);
  assert.equal(await resumed.ended('SIGTERM'), 0);
  assert.equal(listing(archive.path), before);
});

test('fio verifies what it wrote over a point', async (t) => {
  if (!needTool(t, 'fio')) return;
  const { archive } = await imageAndArchive(t);
  const served = await serve(t, `${archive.url}@latest`, '--writable');
  const { status, stdout, stderr } = await finish('fio', [
    ...['--name=over', '--ioengine=nbd', `--uri=${served.uri}`, '--rw=randwrite', '--iodepth=8'],
    ...['--bsrange=512-128k', '--bs_unaligned', '--size=24m', '--verify=crc32c', '--fsync=32'],
    '--verify_state_save=0',
  ]);
  const text = stdout + stderr;
  if (status !== 0 && /engine nbd not loadable|failed to load engine/.test(text)) {
    assert.notEqual(process.env['HAST_REQUIRE_ALL'], '1', text);
    return t.skip('fio has no nbd engine');
  }
  assert.equal(status, 0, text);
  assert.equal(await served.ended('SIGTERM'), 0);
});

test('an ext4 is mounted from a point, read-only and with its journal', async (t) => {
  if (!needRoot(t) || !needTool(t, 'mkfs.ext4', 'nbdfuse', 'losetup', 'mount')) return;
  const folder = scratch(t);
  const [tree, image] = [join(folder, 'tree'), join(folder, 'image')];
  mkdirSync(tree);
  makeImage(join(tree, 'big'), 20 * MIB, 20 * MIB, 5);
  makeImage(join(tree, 'small'), 5000, 5000, 6);
  await succeed('truncate', '-s', '128M', image);
  await succeed('mkfs.ext4', '-q', '-d', tree, image);
  mkdirSync(join(folder, 'store'));
  const archive = await fillArchive(join(folder, 'store'), image);
  for (const way of [[], ['--writable']]) {
    const served = await serve(t, `${archive.url}@latest`, ...way);
    const mounted = await attachExport(t, served.uri);
    await mounted.mount();
    for (const name of ['big', 'small']) {
      assertSameImages(join(tree, name), join(mounted.folder, name));
    }
    const status = spawnSync('cp', [join(tree, 'small'), join(mounted.folder, 'new')]).status;
    assert.equal(status === 0, way.length > 0, 'who may write can');
    if (way.length > 0) {
      assert.ok(
        readFileSync(join(mounted.folder, 'new')).equals(readFileSync(join(tree, 'small'))),
      );
    }
    await mounted.unmount();
    assert.equal(await served.ended('SIGTERM'), 0);
  }
});

test('what cannot be served is said, with its status', async (t) => {
  const { folder, archive } = await imageAndArchive(t);
  const fails = async (status: number, text: RegExp, ...args: string[]): Promise<void> => {
    const result = await hastctl(['serve', ...args]);
    assert.equal(result.status, status, result.err);
    assert.match(result.err, text);
    assert.equal(result.out, '');
  };
  await fails(1, /has no point 7; it has 1 \(1970-01-01T00:00Z\)/, `${archive.url}@7`);
  mkdirSync(join(folder, 'empty'));
  await fails(1, /there is no archive/, `file://${folder}/empty@latest`);
  await fails(64, /names no point; add one/, archive.url);
  await fails(65, /is no name/, `${archive.url}@?`);
  await fails(65, /smaller than 512k/, `${archive.url}@1`, '--cache', '1k');
  await fails(64, /not both/, `${archive.url}@1`, '--socket', '/x', '--listen', 'tcp://127.0.0.1');
  await fails(71, /NBD has no password/, `${archive.url}@1`, '--listen', 'tcp://192.0.2.1:1');
  await fails(66, /no such|ENOENT/, `${archive.url}@1`, '--key', join(folder, 'nokey'));
  await fails(73, /changes cannot be kept/, `${archive.url}@1`, '--overlay', '/proc/no/such');
  await fails(
    65,
    /is not the changes of this point/,
    `${archive.url}@1`,
    '--overlay',
    join(folder, 'image'),
  );
});
