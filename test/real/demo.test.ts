// `npm start` as a user runs it: the compiled demonstration on small disks. It must end well on a
// disk it makes, must find one wrong byte on the user's own image and leave that image alone, must
// refuse what is no raw disk before it makes anything, and must leave no process and, unless
// something failed, no file.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { seededRandom } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { needTool, scratch } from '../real.js';

const DEMO = join(import.meta.dirname, '../../bench/demo.js');
const STEPS = 7;
const seed = Number(process.env['HAST_SEED'] ?? 1);

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Running {
  readonly child: ChildProcess;
  /** Resolves when `text` has been printed, or the process has ended. */
  said(text: string): Promise<void>;
  readonly ended: Promise<Ended>;
}

/** Starts the demonstration; everything it makes goes below `folder`. */
function start(folder: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [DEMO, ...words], {
    env: { ...process.env, TMPDIR: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr, isOver] = ['', '', false];
  let wake = (): void => {};
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString('utf8');
    wake();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString('utf8');
  });
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (status) => {
      isOver = true;
      wake();
      resolve({ status, stdout, stderr });
    });
  });
  const said = async (text: string): Promise<void> => {
    while (!stdout.includes(text) && !isOver) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { child, said, ended };
}

/** Ends a demonstration that a failed test left running, in the way that ends its children. */
function endAfter(t: TestContext, running: Running): Promise<Ended> {
  t.after(async () => {
    if (running.child.exitCode === null) running.child.kill('SIGTERM');
    await running.ended;
  });
  return running.ended;
}

/** Command lines of living processes that name `folder`. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      } catch {
        return ''; // it has ended meanwhile
      }
    })
    .filter((line) => line.includes(folder));
}

/** Cells of the table's rows by step; columns are two spaces or more apart. */
function tableOf(stdout: string): Map<string, string[]> {
  const lines = stdout.split('\n');
  const from = lines.findIndex((line) => line.startsWith('Step '));
  assert.ok(from > 0, 'there is a table');
  const rows = lines.slice(from, lines.indexOf('', from));
  return new Map(rows.map((row) => [row.split(/ {2,}/)[0] ?? '', row.split(/ {2,}/).slice(1)]));
}

const digestOfFile = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');

/** A raw image with text, noise and holes, whose last block and chunk are short (H14). */
function ownImage(path: string): void {
  const random = seededRandom(seed);
  const pieces = Array.from({ length: 20 }, (_, at) => {
    if (at % 3 === 0) return Buffer.alloc(MIB);
    return at % 3 === 1 ? random.bytes(MIB) : Buffer.alloc(MIB, `line ${at} of a file\n`);
  });
  writeFileSync(path, Buffer.concat(pieces));
  truncateSync(path, 20 * MIB + 512);
}

test('the demonstration ends well on a disk that it makes', async (t) => {
  t.diagnostic(`HAST_SEED=${seed}`);
  if (!needTool(t, 'mkfs.ext4')) return;
  const folder = scratch(t);
  const words = ['--size', '64M', '--seed', String(seed)];
  const { status, stdout, stderr } = await endAfter(t, start(folder, words));
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /an ext4 file system with \d+ files/);
  for (let step = 1; step <= STEPS; step += 1) {
    assert.match(
      stdout,
      new RegExp(`^ +[0-9.]+ s {2}${step} {2}\\S`, 'm'),
      `step ${step} is shown`,
    );
  }
  const table = tableOf(stdout);
  const header = ['Written by guest', 'Dirty', 'Skipped', 'Sent', 'On the wire', 'Seconds'];
  assert.deepEqual(table.get('Step'), [...header, 'Verdict']);
  assert.match(table.get('1 first copy')?.at(-1) ?? '', /^committed, point 1$/);
  assert.match(table.get('3 scheduled round')?.at(-1) ?? '', /^committed, point \d+$/);
  const [written, dirty, skipped, sent] = table.get('4 identical content') ?? [];
  assert.equal(sent, '0 B', 'identical content is not sent');
  assert.notEqual(written, '0 B');
  assert.equal(dirty, skipped, 'all that was dirty is skipped');
  assert.match(table.get('5 last round')?.at(-1) ?? '', /^committed, point \d+$/);
  assert.match(stdout, /refused at first: .*the primary does not answer/);
  assert.match(table.get('7 comparison')?.at(-1) ?? '', /^16384 blocks compared, 0 differ/);
  assert.deepEqual(processesOf(folder), [], 'no process is left');
  assert.deepEqual(readdirSync(folder), [], 'no file is left');
});

test("one wrong byte is found; the user's own image is never touched", async (t) => {
  t.diagnostic(`HAST_SEED=${seed}`);
  const folder = scratch(t);
  const image = join(folder, 'mine.img');
  ownImage(image);
  const before = { digest: digestOfFile(image), mtimeMs: statSync(image).mtimeMs };
  const words = [image, '--flip-byte', '--seed', String(seed)];
  const { status, stdout, stderr } = await endAfter(t, start(folder, words));
  assert.equal(status, 1, `${stdout}${stderr}`);
  assert.match(stdout, /a copy of .*mine\.img/);
  const verdict = tableOf(stdout).get('7 comparison')?.at(-1) ?? '';
  assert.match(verdict, /^WRONG: 1 of 5121 blocks differ/, 'that byte, and nothing else');
  assert.match(stdout, /^WRONG: see the table/m);
  const kept = readdirSync(folder).filter((name) => name !== 'mine.img');
  assert.equal(kept.length, 1, 'its one folder is kept after a failure');
  assert.ok(stdout.includes(`Everything is kept in ${join(folder, kept[0] ?? '')}`));
  const after = { digest: digestOfFile(image), mtimeMs: statSync(image).mtimeMs };
  assert.deepEqual(after, before);
  assert.deepEqual(processesOf(join(folder, kept[0] ?? '')), [], 'no process is left');
});

test('interrupted in the middle, it ends its children and removes its files', async (t) => {
  const folder = scratch(t);
  // A mkfs.ext4 that fails: the disk is then made from the seed.
  const tools = join(folder, 'tools');
  mkdirSync(tools);
  writeFileSync(join(tools, 'mkfs.ext4'), '#!/bin/sh\necho no room >&2\nexit 1\n');
  chmodSync(join(tools, 'mkfs.ext4'), 0o755);
  const path = `${tools}:${process.env['PATH'] ?? ''}`;
  const running = start(folder, ['--size', '32M', '--seed', String(seed)], { PATH: path });
  const ended = endAfter(t, running);
  await running.said('the schedule (interval');
  assert.ok(processesOf(folder).length >= 2, 'two nodes run');
  running.child.kill('SIGINT');
  const { status, stdout, stderr } = await ended;
  assert.equal(status, 130, `${stdout}${stderr}`);
  assert.match(stdout, /made from the seed: text, noise and holes \(mkfs\.ext4: no room\)/);
  assert.match(stdout, /interrupted by SIGINT/);
  assert.deepEqual(processesOf(folder), [], 'no process is left');
  assert.deepEqual(readdirSync(folder), ['tools'], 'no file is left');
});

test('what cannot be shown is refused before anything is made', async (t) => {
  const folder = scratch(t);
  const file = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const qcow2 = file('q.img', Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(508)]));
  const odd = file('odd.img', Buffer.alloc(1000));
  const cases: [words: string[], status: number, said: RegExp][] = [
    [[join(folder, 'absent.img')], 66, /absent\.img: no such disk/],
    [[qcow2], 66, /is a qcow2 image; hast replicates raw disks \(qemu-img convert -O raw/],
    [[odd], 66, /1000 bytes is not a multiple of 512/],
    [[folder], 66, /is a directory, not a regular file or block device/],
    [['--size', '100000001'], 64, /--size 100000001: not a multiple of 512/],
    [['--size', '1M'], 64, /--size 1M: too small; write 16M or more/],
    [['--size', 'big'], 64, /--size big: not a size/],
    [['--seed', 'x'], 64, /--seed x: not a number/],
    [['--frob'], 64, /unknown option '--frob' \(--help lists the options\)/],
  ];
  for (const [words, status, said] of cases) {
    const ended = await endAfter(t, start(folder, words));
    assert.equal(ended.status, status, `${words.join(' ')}: ${ended.stderr}`);
    assert.match(ended.stderr, said);
    assert.equal(ended.stdout, '');
  }
  const help = await endAfter(t, start(folder, ['--help']));
  assert.equal(help.status, 0);
  for (const option of ['--size', '--seed', '--keep', '--flip-byte', '[path]']) {
    assert.ok(help.stdout.includes(option), `--help names ${option}`);
  }
  assert.deepEqual(readdirSync(folder).sort(), ['odd.img', 'q.img'], 'nothing was made');
});
