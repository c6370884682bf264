// Two hastds as an operator starts them, on loopback with TLS, the primary dialling through a
// counting proxy. Everything lives in the folder given; all that was started is ended by `close`.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ControlClient, controlClient } from '../src/control/client.js';
import { CountingProxy } from './counting-proxy.js';
import { run } from './meters.js';

const PROGRAMS = join(import.meta.dirname, '../src');
const START_MS_MAX = 30_000;
const POLL_MS = 20;

export class BenchNode {
  readonly name: string;
  readonly image: string;
  readonly nbdSocket: string;
  readonly control: ControlClient;
  readonly #folder: string;
  #child: ChildProcess | null = null;

  constructor(name: string, folder: string) {
    this.name = name;
    this.image = imageOf(folder, name, 'vm1');
    this.nbdSocket = join(folder, `${name}.nbd`);
    this.control = controlClient(join(folder, `${name}.ctl`));
    this.#folder = folder;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Runs hastctl, which must succeed; returns what it printed and how long it took. */
  hastctl(...args: readonly string[]) {
    const script = join(PROGRAMS, 'hastctl.js');
    return run(process.execPath, [
      script,
      '-c',
      configOf(this.#folder),
      '--node',
      this.name,
      ...args,
    ]);
  }

  /** `nodeArgs`: for Node itself, as --cpu-prof. */
  async start(nodeArgs: readonly string[]): Promise<void> {
    const logPath = join(this.#folder, `${this.name}.log`);
    const log = openSync(logPath, 'a');
    const script = [join(PROGRAMS, 'hastd.cjs'), '-c', configOf(this.#folder)];
    const args = [...nodeArgs, ...script, '--node', this.name, '-F'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', log, log] });
    this.#child = child;
    closeSync(log);
    for (let waitedMs = 0; waitedMs < START_MS_MAX; waitedMs += POLL_MS) {
      const answer = await this.control.status([]).catch(() => null);
      if (answer?.pid === child.pid) return;
      if (child.exitCode !== null || child.signalCode !== null) break;
      await sleep(POLL_MS);
    }
    throw new Error(`hastd of node ${this.name} does not run:\n${readFileSync(logPath, 'utf8')}`);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(START_MS_MAX).then(() => child.kill('SIGKILL'))]);
    await ended;
  }
}

export interface TwoNodes {
  readonly a: BenchNode;
  readonly b: BenchNode;
  readonly proxy: CountingProxy;
  /** Ends both daemons. Can be called twice. */
  close(): Promise<void>;
}

/** Resource vm1 with the existing image a.img of `folder`: a primary, b an empty secondary. */
export const startTwoNodes = (folder: string, nodeArgs: readonly string[] = []) =>
  startNodes(folder, ['vm1'], nodeArgs);

/** As startTwoNodes, with several resources; their existing images are `imageOf(folder, 'a', …)`.
 * `nodeArgs` are Node's own for both daemons. `archived`: further resources, that a carries to
 * the archive `archiveOf` and nowhere else. */
export async function startNodes(
  folder: string,
  names: readonly string[],
  nodeArgs: readonly string[],
  archived: readonly string[] = [],
): Promise<TwoNodes> {
  const [portA, portB] = [await freePort(), await freePort()];
  const proxy = await CountingProxy.start(portB);
  const [a, b] = [new BenchNode('a', folder), new BenchNode('b', folder)];
  const ports = { portA, portB, proxied: proxy.port };
  const others = archived.map((name) => archivedText(folder, name));
  writeFileSync(configOf(folder), `${configText(folder, names, ports)}${others.join('')}`);
  if (archived.length > 0) mkdirSync(storeOf(folder));
  const close = async (): Promise<void> => {
    await Promise.all([a.stop(), b.stop()]);
    proxy.close();
  };
  try {
    await a.hastctl('keygen', join(folder, 'hast.key'));
    await Promise.all([a.start(nodeArgs), b.start(nodeArgs)]);
    await a.hastctl('create', ...names, ...archived);
    if (names.length > 0) {
      await b.hastctl('create', ...names);
      await b.hastctl('role', 'secondary', ...names);
    }
    await a.hastctl('role', 'primary', ...names, ...archived);
  } catch (error) {
    await close();
    throw error;
  }
  return { a, b, proxy, close };
}

/** Where a node's disk of a resource is. */
export const imageOf = (folder: string, node: string, resource: string): string =>
  join(folder, resource === 'vm1' ? `${node}.img` : `${node}-${resource}.img`);

const storeOf = (folder: string): string => join(folder, 'store');

/** The directory that is a resource's archive. */
export const archiveOf = (folder: string, resource: string): string =>
  join(storeOf(folder), resource);

/** Arguments of Node that make it write CPU profiles of all its threads at the end. */
export const profilesTo = (folder: string | null): readonly string[] =>
  folder === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`];

const configOf = (folder: string): string => join(folder, 'hast.conf');

function configText(
  folder: string,
  names: readonly string[],
  ports: { readonly portA: number; readonly portB: number; readonly proxied: number },
): string {
  const on = (name: string, port: number): string =>
    `on ${name} { statedir ${folder}/${name}  control unix://${folder}/${name}.ctl  ` +
    `export unix://${folder}/${name}.nbd  listen tcp://127.0.0.1:${port}  ` +
    `pidfile ${folder}/${name}.pid }\n`;
  const side = (node: string, name: string, port: number): string =>
    `  on ${node} { local ${imageOf(folder, node, name)}  remote tcp://127.0.0.1:${port} }\n`;
  return [
    on('a', ports.portA),
    on('b', ports.portB),
    ...names.flatMap((name) => [
      `resource ${name} {\n  replication periodic\n  interval 24h\n`,
      `  secret ${folder}/hast.key\n`,
      side('a', name, ports.proxied),
      side('b', name, ports.portA),
      '}\n',
    ]),
  ].join('');
}

/** Node b has it, too, for every node of the file must, and never makes it. */
const archivedText = (folder: string, name: string): string =>
  `resource ${name} {\n  replication periodic\n  interval 24h\n` +
  `  archive store { url file://${storeOf(folder)} }\n` +
  ['a', 'b']
    .map((on) => `  on ${on} { local ${imageOf(folder, on, name)}  remote none }\n`)
    .join('') +
  '}\n';

/** A TCP port of the loopback address that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
