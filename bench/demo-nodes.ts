// The two nodes of the demonstration: real hastd processes told by real hastctl processes, on
// loopback with TLS. All their files lie in one folder. Guarantee: `end` leaves no process of ours
// behind, whatever state it finds them in; it ends them by their process ids.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../src/base/clock.js';
import type { ResourceStatus, RoundRecord, SyncAnswer } from '../src/control/api.js';
import { DemoError } from './demo-fault.js';

export type NodeName = 'a' | 'b';
export const RESOURCE = 'vm1';

const START_MS_MAX = 30_000;
const POLL_MS = 50;
const programs = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');

export interface Told {
  readonly status: number;
  /** The JSON document it printed; an error's is `{ error: { code, message } }`. */
  readonly answer: unknown;
  readonly stderr: string;
}

interface Daemon {
  readonly child: ChildProcess;
  /** Resolves with words for how it ended. */
  readonly ended: Promise<string>;
}

export class Nodes {
  readonly folder: string;
  readonly #ports: readonly [number, number];
  readonly #daemons = new Map<NodeName, Daemon>();
  readonly #children = new Set<ChildProcess>();
  #closed = false;

  private constructor(folder: string, ports: readonly [number, number]) {
    this.folder = folder;
    this.#ports = ports;
  }

  /** Writes the configuration and makes the shared key; starts nothing. */
  static async prepare(folder: string, schedule: string): Promise<Nodes> {
    const nodes = new Nodes(folder, [await freePort(), await freePort()]);
    nodes.setSchedule(schedule);
    await nodes.tell('a', ['keygen', join(folder, 'key')]);
    return nodes;
  }

  /** The file of both nodes; a running hastd keeps what it has read. */
  setSchedule(schedule: string): void {
    const { folder } = this;
    const [portA, portB] = this.#ports;
    const at = (name: string): string => `"${join(folder, name)}"`;
    const on = (node: NodeName, port: number): string[] => [
      `on ${node} {`,
      `    statedir ${at(node)}`,
      `    control "unix://${folder}/${node}.ctl"`,
      `    export "unix://${folder}/${node}.nbd"`,
      `    listen tcp://127.0.0.1:${port}`,
      `    pidfile ${at(`${node}.pid`)}`,
      '}',
    ];
    const lines = [
      ...on('a', portA),
      ...on('b', portB),
      `secret ${at('key')}`,
      `resource ${RESOURCE} {`,
      '    replication periodic',
      `    ${schedule}`,
      `    on a { local ${at('a.img')}  remote tcp://127.0.0.1:${portB} }`,
      `    on b { local ${at('b.img')}  remote tcp://127.0.0.1:${portA} }`,
      '}',
    ];
    writeFileSync(join(folder, 'hast.conf'), `${lines.join('\n')}\n`);
  }

  /** Starts hastd and waits until it answers. Error DEMO_NODE_ENDED. */
  async start(node: NodeName): Promise<void> {
    const log = this.logOf(node);
    const fd = openSync(log, 'a', 0o600);
    const child = this.#spawn('hastd.cjs', node, ['-F'], ['ignore', fd, fd]);
    closeSync(fd);
    const ended = new Promise<string>((resolve) => {
      child.on('close', (status, signal) => resolve(signal ?? `status ${status}`));
      child.on('error', (error) => resolve(error.message));
    });
    this.#daemons.set(node, { child, ended });
    let how: string | null = null;
    void ended.then((words) => {
      how = words;
    });
    for (let waitedMs = 0; waitedMs < START_MS_MAX && how === null; waitedMs += POLL_MS) {
      if ((await this.ask(node, ['status'])).status === 0) return;
      await systemClock.sleep(POLL_MS);
    }
    const text = readFileSync(log, 'utf8').trim().split('\n').at(-1) ?? '';
    throw new DemoError({ code: 'DEMO_NODE_ENDED', node, how: how ?? 'no answer', log, text });
  }

  logOf(node: NodeName): string {
    return join(this.folder, `${node}.log`);
  }

  nbdOf(node: NodeName): string {
    return join(this.folder, `${node}.nbd`);
  }

  /** Runs hastctl --json, whatever it answers. */
  async ask(node: NodeName, words: readonly string[]): Promise<Told> {
    const child = this.#spawn('hastctl.js', node, ['--json', ...words], ['ignore', 'pipe', 'pipe']);
    const [out, err] = [collect(child.stdout), collect(child.stderr)];
    const status = await new Promise<number>((resolve, reject) => {
      child.on('error', reject).on('close', (code) => resolve(code ?? -1));
    });
    return { status, answer: parsed(out()), stderr: err().trim() };
  }

  /** Runs hastctl --json, which must succeed. Error DEMO_COMMAND_FAILED. */
  async tell(node: NodeName, words: readonly string[]): Promise<unknown> {
    const { status, answer, stderr } = await this.ask(node, words);
    if (status === 0) return answer;
    const command = `hastctl --node ${node} ${words.join(' ')}`;
    throw new DemoError({ code: 'DEMO_COMMAND_FAILED', command, status, text: stderr });
  }

  async status(node: NodeName): Promise<ResourceStatus> {
    const answer = (await this.tell(node, ['status', RESOURCE])) as {
      readonly resources: readonly ResourceStatus[];
    };
    const [resource] = answer.resources;
    if (resource !== undefined) return resource;
    throw new DemoError({ code: 'DEMO_STEP_FAILED', text: `node ${node} has no ${RESOURCE}` });
  }

  async rounds(): Promise<readonly RoundRecord[]> {
    const answer = (await this.tell('a', ['rounds', RESOURCE])) as {
      readonly rounds: readonly RoundRecord[];
    };
    return answer.rounds;
  }

  /** A round now, until it is in the replica's disk; returns the number of its point, or null
   * when nothing was dirty. */
  async sync(): Promise<number | null> {
    const answer = (await this.tell('a', ['sync', RESOURCE, '--wait'])) as SyncAnswer;
    return answer.outcomes[0]?.point ?? null;
  }

  /** kill -9; returns when the process is gone. */
  async kill(node: NodeName): Promise<void> {
    const daemon = this.#daemons.get(node);
    daemon?.child.kill('SIGKILL');
    await daemon?.ended;
  }

  /** Ends everything that was started, the hard way if need be; later starts are refused. */
  async end(): Promise<void> {
    this.#closed = true;
    const running = [...this.#children];
    const ends = running.map((child) => once(child, 'close').catch(() => undefined));
    for (const child of running) child.kill('SIGKILL');
    await Promise.all(ends);
  }

  /** As `end`, without waiting: for the exit of the process itself. */
  killAll(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  #spawn(
    program: string,
    node: NodeName,
    words: readonly string[],
    stdio: ('ignore' | 'pipe' | number)[],
  ): ChildProcess {
    if (this.#closed) throw new DemoError({ code: 'DEMO_STEP_FAILED', text: 'it is ending' });
    const config = join(this.folder, 'hast.conf');
    const args = [join(programs, program), '-c', config, '--node', node, ...words];
    // In a group of its own: a terminal's Ctrl-C reaches only us, and we end it in good order.
    const child = spawn(process.execPath, args, { stdio, cwd: this.folder, detached: true });
    this.#children.add(child);
    child.on('close', () => this.#children.delete(child));
    child.on('error', () => this.#children.delete(child));
    return child;
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const pieces: Buffer[] = [];
  stream?.on('data', (bytes: Buffer) => pieces.push(bytes));
  return () => Buffer.concat(pieces).toString('utf8');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // keygen and failures before --json is known print none
  }
}

/** A port of the loopback address that nobody has at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (typeof address === 'object' && address !== null) return address.port;
  throw new DemoError({ code: 'DEMO_STEP_FAILED', text: 'no free port on 127.0.0.1' });
}
