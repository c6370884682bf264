// `npm run bench -- serve`: how long it takes until a file can be read from a restore point that
// lies in an object store, by its latency. An ext4 with a tree of this machine's own documentation
// is made an archive; `hastctl serve` offers its point; the kernel mounts it through nbdfuse and a
// loop device, lists a directory, reads one file, finds every file, and reads the whole disk. What
// it does not show: bandwidth (loopback has no limit), TLS, a store that throttles.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { humanBytes, MIB } from '../src/base/units.js';
import { fillArchive } from '../test/archive/filled.js';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { run } from './meters.js';
import { printTable } from './round-report.js';
import { SlowStore } from './slow-store.js';

export interface ServeBenchOptions {
  readonly diskBytes: number;
  readonly latenciesMs: readonly number[];
  readonly seed: number;
  readonly directory: string;
}

interface Step {
  readonly name: string;
  readonly seconds: number;
  readonly requests: number;
  readonly bytes: number;
}

interface Served {
  readonly latencyMs: number;
  readonly writable: boolean;
  readonly steps: readonly Step[];
  readonly rssMaxBytes: number;
}

const BUCKET = 'bench';
const HASTCTL = join(import.meta.dirname, '../src/hastctl.js');
const TREES = ['/usr/share/doc', '/usr/share/man', '/usr/share/locale'];
const OPEN_SECONDS_MAX = 2;
const RSS_BYTES_MAX = 250 * MIB;

/** Runs all of it; false when a bar is missed. */
export async function benchServe(options: ServeBenchOptions): Promise<boolean> {
  const { directory, seed } = options;
  const machine = machineFacts(directory, seed, ['nbdfuse', 'nbdcopy']);
  printMachine(machine);
  const folder = mkdtempSync(join(directory, 'hast-bench-'));
  try {
    const runs = await inFolder(folder, options);
    const passed = report(runs);
    keepResult('serve', machine, { settings: options, runs, passed });
    return passed;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inFolder(folder: string, options: ServeBenchOptions): Promise<readonly Served[]> {
  const image = join(folder, 'disk.img');
  const tree = join(folder, 'tree');
  mkdirSync(tree);
  for (const path of TREES) if (existsSync(path)) await run('cp', ['-r', path, tree]);
  await run('truncate', ['-s', String(options.diskBytes), image]);
  await run('mkfs.ext4', ['-q', '-d', tree, image]);
  mkdirSync(join(folder, 'store'));
  mkdirSync(join(folder, 'store', BUCKET));
  await fillArchive(join(folder, 'store', BUCKET), image, null, options.seed);
  const { stdout } = await run('du', ['-sb', join(folder, 'store')]);
  const bytes = Number.parseInt(stdout, 10);
  console.log(`image     ${humanBytes(options.diskBytes)}, archive ${humanBytes(bytes)}`);
  const store = await SlowStore.start(join(folder, 'store'));
  try {
    const runs: Served[] = [];
    for (const latencyMs of options.latenciesMs) {
      for (const writable of [false, true]) {
        runs.push(await oneRun({ folder, tree, store, latencyMs, writable }));
      }
    }
    return runs;
  } finally {
    store.close();
  }
}

interface RunPlace {
  readonly folder: string;
  readonly tree: string;
  readonly store: SlowStore;
  readonly latencyMs: number;
  readonly writable: boolean;
}

async function oneRun({ folder, tree, store, latencyMs, writable }: RunPlace): Promise<Served> {
  store.latencyMs = latencyMs;
  const steps: Step[] = [];
  const step: Stepped = async (name, work) => {
    const { requests, downBytes } = store;
    const began = performance.now();
    const result = await work();
    const seconds = (performance.now() - began) / 1000;
    const bytes = store.downBytes - downBytes;
    steps.push({ name, seconds, requests: store.requests - requests, bytes });
    return result;
  };
  const { child, uri } = await step('until the URI', () => serve(store, writable));
  try {
    const read = ['-r', '-f', 'raw', '-c', 'read 0 4k', uri];
    await step('first block', () => run('qemu-io', read));
    await useMounted({ folder, tree, uri, writable }, step);
    await step('all of the disk', () => run('nbdcopy', [uri, 'null:']));
    return { latencyMs, writable, steps, rssMaxBytes: peakOf(child) };
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

type Stepped = <T>(name: string, work: () => Promise<T>) => Promise<T>;

async function serve(
  { endpoint }: SlowStore,
  writable: boolean,
): Promise<{ readonly child: ChildProcess; readonly uri: string }> {
  const args = ['serve', `s3://${BUCKET}/vm1@latest`, '--endpoint', endpoint];
  const child = spawn(process.execPath, [HASTCTL, ...args, ...(writable ? ['--writable'] : [])], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, AWS_ACCESS_KEY_ID: 'bench', AWS_SECRET_ACCESS_KEY: 'bench' },
  });
  let out = '';
  for await (const piece of child.stdout) {
    out += String(piece);
    if (out.endsWith('\n')) break;
  }
  if (out === '') throw new Error('hastctl serve did not begin');
  return { child, uri: out.trim() };
}

interface Mounting {
  readonly folder: string;
  readonly tree: string;
  readonly uri: string;
  readonly writable: boolean;
}

/** Root. Mounts, looks around as a person does who wants one file back, unmounts. */
async function useMounted({ folder, tree, uri, writable }: Mounting, step: Stepped): Promise<void> {
  const base = mkdtempSync(join(folder, 'mount-'));
  const [fuse, place] = [join(base, 'fuse'), join(base, 'mnt')];
  mkdirSync(fuse);
  mkdirSync(place);
  const file = join(fuse, 'disk');
  const nbdfuse = spawn('nbdfuse', [file, uri], { stdio: 'inherit' });
  const gone = once(nbdfuse, 'exit');
  while (!isDisk(file)) {
    if (nbdfuse.exitCode !== null) throw new Error('nbdfuse has ended');
    await sleep(5);
  }
  const flags = writable ? [] : ['--read-only'];
  const { stdout } = await run('losetup', ['--find', '--show', '--direct-io=on', ...flags, file]);
  const device = stdout.trim();
  try {
    const how = writable ? 'rw' : 'ro,noload';
    await step('mount', () => run('mount', ['-o', how, device, place]));
    const [one = ''] = readdirSync(join(tree, 'doc')).slice(20);
    await step('list a directory', () => run('ls', ['-l', join(place, 'doc')]));
    await step('list another below', () => run('ls', ['-l', join(place, 'doc', one)]));
    const name = largestIn(tree, join('doc', one));
    await step('read one file', () => run('cmp', [join(tree, name), join(place, name)]));
    await step('find all files', () => run('find', [place, '-type', 'f', '-printf', '%s\n']));
    if (writable) {
      await step('write and sync', () =>
        run('dd', [`of=${join(place, 'new')}`, 'if=/dev/zero', 'bs=1M', 'count=8', 'conv=fsync']),
      );
    }
  } finally {
    await run('umount', [place]).catch(() => undefined);
    await run('losetup', ['-d', device]);
    await run('fusermount3', ['-u', fuse]);
    await gone;
  }
}

function largestIn(tree: string, folder: string): string {
  const names = readdirSync(join(tree, folder), { recursive: true, encoding: 'utf8' });
  const files = names
    .map((name) => ({ name, facts: lstatSync(join(tree, folder, name)) }))
    .filter(({ facts }) => facts.isFile())
    .sort((one, other) => other.facts.size - one.facts.size);
  return join(folder, files[0]?.name ?? '');
}

function isDisk(path: string): boolean {
  try {
    return statSync(path).size > 0;
  } catch {
    return false;
  }
}

/** Most memory that it ever had. */
function peakOf({ pid }: ChildProcess): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
}

function report(runs: readonly Served[]): boolean {
  let passed = true;
  for (const { latencyMs, writable, steps, rssMaxBytes } of runs) {
    console.log(`\n${latencyMs} ms a request, ${writable ? 'writable' : 'read-only'}`);
    printTable([
      ['', 's', 'requests', 'fetched'],
      ...steps.map(({ name, seconds, requests, bytes }) => [
        name,
        seconds.toFixed(2),
        String(requests),
        humanBytes(bytes),
      ]),
    ]);
    const opening = steps.slice(0, 2).reduce((sum, { seconds }) => sum + seconds, 0);
    const isQuick = opening <= OPEN_SECONDS_MAX;
    const isSmall = rssMaxBytes <= RSS_BYTES_MAX;
    passed &&= isQuick && isSmall;
    console.log(`${word(isQuick)}  first block after ${opening.toFixed(2)} s, at most 2 s`);
    console.log(`${word(isSmall)}  memory ${humanBytes(rssMaxBytes)}, at most 250 MiB`);
  }
  return passed;
}

const word = (holds: boolean): string => (holds ? 'pass' : 'FAIL');
