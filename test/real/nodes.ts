// Two real nodes for tests: hastd as child processes of their own, in a folder that goes away, on
// free loopback ports, with TLS, told what to do by the real hastctl. All that was started is
// ended after the test, by its process id. With HAST_KEEP=1 the folder stays.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf } from '../../src/base/errors.js';
import { type ControlClient, controlClient } from '../../src/control/client.js';

const PROGRAMS = join(import.meta.dirname, '../../src');
const HASTD = join(PROGRAMS, 'hastd.cjs');
const HASTCTL = join(PROGRAMS, 'hastctl.js');
const START_MS_MAX = 30_000;
const COMMAND_MS_MAX = 60_000;
const POLL_MS = 20;

export interface PairOptions {
  readonly sizeBytes: number;
  /** Further statements of resource vm1; default: `interval 1h`. */
  readonly config?: string;
  /** Further arguments of hastd on both nodes, as `-d`. */
  readonly hastdArgs?: readonly string[];
  /** False: without a secret, over plain TCP. */
  readonly tls?: boolean;
}

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output parsed, where it is JSON; else null. */
  readonly json: unknown;
}

export interface Pair {
  readonly folder: string;
  readonly config: string;
  readonly a: RealNode;
  readonly b: RealNode;
}

/** Configuration, secret and two nodes; nothing is started and no resource created yet. */
export async function makePair(t: TestContext, options: PairOptions): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-'));
  const nodes: RealNode[] = [];
  t.after(async () => {
    for (const node of nodes) await node.kill('SIGKILL');
    if (process.env['HAST_KEEP'] === '1') t.diagnostic(`kept: ${folder}`);
    else rmSync(folder, { recursive: true, force: true });
  });
  const config = join(folder, 'hast.conf');
  const [portA, portB] = [await freePort(), await freePort()];
  const secret = options.tls === false ? '' : `secret ${folder}/hast.key`;
  const on = (name: string, port: number): string =>
    `on ${name} { statedir ${folder}/${name}  control unix://${folder}/${name}.ctl  ` +
    `export unix://${folder}/${name}.nbd  listen tcp://127.0.0.1:${port}  ` +
    `pidfile ${folder}/${name}.pid }\n`;
  const lines = [
    on('a', portA),
    on('b', portB),
    'resource vm1 {\n',
    `  replication periodic\n  ${options.config ?? 'interval 1h'}\n  ${secret}\n`,
    `  on a { local ${folder}/a.img  remote tcp://127.0.0.1:${portB} }\n`,
    `  on b { local ${folder}/b.img  remote tcp://127.0.0.1:${portA} }\n}\n`,
  ];
  writeFileSync(config, lines.join(''));
  const hastdArgs = options.hastdArgs ?? [];
  const [a, b] = [
    new RealNode('a', folder, config, hastdArgs),
    new RealNode('b', folder, config, hastdArgs),
  ];
  nodes.push(a, b);
  if (secret !== '') await a.ask('keygen', `${folder}/hast.key`);
  return { folder, config, a, b };
}

/** Both nodes running: a is primary of vm1, a new disk of `sizeBytes`; b secondary and empty. */
export async function startPair(t: TestContext, options: PairOptions): Promise<Pair> {
  const pair = await makePair(t, options);
  const { a, b } = pair;
  await Promise.all([a.hastd(), b.hastd()]);
  await a.ask('create', '-m', String(options.sizeBytes), 'vm1');
  await b.ask('create', 'vm1');
  await b.ask('role', 'secondary', 'vm1');
  await a.ask('role', 'primary', 'vm1');
  return pair;
}

/** A run that is broken off leaves no daemon behind. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** One node of a pair: starts and ends its hastd, runs its hastctl. */
export class RealNode {
  readonly name: string;
  readonly image: string;
  /** Unix socket of the export, and the disk vm1 on it. */
  readonly nbdSocket: string;
  readonly nbdUri: string;
  /** The control socket without hastctl's start-up time. */
  readonly control: ControlClient;
  readonly #config: string;
  readonly #args: readonly string[];
  readonly #logPath: string;
  #child: ChildProcess | null = null;

  constructor(name: string, folder: string, config: string, args: readonly string[]) {
    this.name = name;
    this.image = join(folder, `${name}.img`);
    this.nbdSocket = join(folder, `${name}.nbd`);
    this.nbdUri = `nbd+unix:///vm1?socket=${this.nbdSocket}`;
    this.control = controlClient(join(folder, `${name}.ctl`));
    this.#config = config;
    this.#args = args;
    this.#logPath = join(folder, `${name}.log`);
  }

  /** Program and arguments that become hastd (they exec what follows): another environment. */
  launcher: readonly string[] = [];

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts hastd and waits until its control socket answers. */
  async hastd(...args: readonly string[]): Promise<void> {
    const child = this.#spawn(args);
    for (let waitedMs = 0; child.exitCode === null && child.signalCode === null; ) {
      const answer = await this.control.status([]).catch(() => null);
      if (answer?.pid === child.pid) return;
      assert.ok(waitedMs < START_MS_MAX, `hastd ${this.name} does not answer\n${this.log()}`);
      await sleep(POLL_MS);
      waitedMs += POLL_MS;
    }
    assert.fail(`hastd ${this.name} has ended at start\n${this.log()}`);
  }

  /** Starts a hastd that is expected to give up: its exit status; what it said is in the log. */
  async hastdEnds(...args: readonly string[]): Promise<number | null> {
    const child = this.#spawn(args);
    const timer = setTimeout(() => child.kill('SIGKILL'), START_MS_MAX);
    await ended(child);
    clearTimeout(timer);
    return child.exitCode;
  }

  /** Sends a signal to hastd and waits for its end: its exit status, null after SIGKILL. */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    if (child === null) return null;
    child.kill(signal);
    await ended(child);
    return child.exitCode;
  }

  /** Runs hastctl with `-c FILE --node NAME` before `args`. */
  ctl(...args: readonly string[]): Promise<Finished> {
    const before = ['-c', this.#config, '--node', this.name];
    return finish(process.execPath, [HASTCTL, ...before, ...args]);
  }

  /** Runs hastctl with --json, which must succeed: what it printed. */
  async ask(...args: readonly string[]): Promise<unknown> {
    const finished = await this.ctl('--json', ...args);
    const { status, stdout, stderr } = finished;
    assert.equal(status, 0, `hastctl ${args.join(' ')}: ${stdout}${stderr}\n${this.log()}`);
    return finished.json;
  }

  /** What all hastds of this node have logged, one JSON document a line. */
  log(): string {
    return existsSync(this.#logPath) ? readFileSync(this.#logPath, 'utf8') : '';
  }

  #spawn(args: readonly string[]): ChildProcess {
    assert.ok(this.#child === null || hasEnded(this.#child), `hastd ${this.name} runs already`);
    const log = openSync(this.#logPath, 'a');
    const common = [process.execPath, HASTD, '-c', this.#config, '--node', this.name, '-F'];
    const [program = '', ...words] = [...this.launcher, ...common, ...this.#args, ...args];
    this.#child = spawn(program, words, {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const child = this.#child;
    running.add(child);
    child.on('exit', () => running.delete(child));
    return child;
  }
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;

async function ended(child: ChildProcess): Promise<void> {
  if (!hasEnded(child)) await once(child, 'exit');
}

/** Runs a program to its end; killed when it takes more than a minute. */
export async function finish(program: string, args: readonly string[]): Promise<Finished> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.stdout += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.stderr += piece;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS_MAX);
  const [status] = await once(child, 'close');
  clearTimeout(timer);
  return { status: Number(status ?? -1), ...text, json: jsonOf(text.stdout) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const portsGiven = new Set<number>();

/** A TCP port of the loopback address that nobody listens on now, each once; below those that Linux
 * hands out to whoever dials, so that it is still free when a node that was killed comes back. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + randomInt(12_000);
    if (portsGiven.has(port)) continue;
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      (error: unknown) => {
        if (codeOf(error) === 'EADDRINUSE') return false;
        throw error;
      },
    );
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    portsGiven.add(port);
    return port;
  }
}
