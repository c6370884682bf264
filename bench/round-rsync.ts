// rsync as the peer of a round: a daemon on loopback, one client per measurement, as somebody would
// run it every night. Wire bytes are rsync's own (--stats); CPU and reads come from /proc, for the
// client as our ended child, for the server as the daemon's.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CountingProxy } from './counting-proxy.js';
import { run, usageOf, usageOfOurChildren, usedSince } from './meters.js';
import type { Carried } from './round-report.js';
import { freePort } from './two-nodes.js';

const START_MS_MAX = 10_000;
const POLL_MS = 20;
/** The settings of the bar; whole files are read at both ends whatever has changed. */
const COMMON = ['--inplace', '--no-whole-file', '--ignore-times', '--stats'];

export class RsyncDaemon {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #proxy: CountingProxy | null;

  private constructor(child: ChildProcess, port: number, proxy: CountingProxy | null) {
    this.#child = child;
    this.#port = port;
    this.#proxy = proxy;
  }

  /** Serves `folder`, writable, on a free port; `proxied`: clients go through a counting proxy. */
  static async start(folder: string, proxied = false): Promise<RsyncDaemon> {
    const port = await freePort();
    const config = join(folder, 'rsyncd.conf');
    const module = `[disks]\npath = ${folder}\nread only = no\n`;
    const owner = process.getuid?.() === 0 ? 'uid = root\ngid = root\n' : '';
    writeFileSync(config, `use chroot = no\n${owner}${module}`);
    const where = [`--port=${port}`, '--address=127.0.0.1', `--config=${config}`];
    const child = spawn('rsync', ['--daemon', '--no-detach', ...where], { stdio: 'ignore' });
    const proxy = proxied ? await CountingProxy.start(port) : null;
    const daemon = new RsyncDaemon(child, port, proxy);
    for (let waitedMs = 0; !(await answers(port)); waitedMs += POLL_MS) {
      if (waitedMs >= START_MS_MAX || child.exitCode !== null) {
        await daemon.close();
        throw new Error('the rsync daemon does not listen');
      }
      await sleep(POLL_MS);
    }
    return daemon;
  }

  /** Carries `source` to the existing file `to` of the served folder. */
  async carry(source: string, to: string, settings: readonly string[]): Promise<Carried> {
    const server = this.#child.pid ?? 0;
    const before = { client: usageOfOurChildren(), server: usageOf(server) };
    const url = `rsync://127.0.0.1:${this.#proxy?.port ?? this.#port}/disks/${basename(to)}`;
    const wire = this.#proxy?.bytes;
    const { stdout, seconds } = await run('rsync', [...COMMON, ...settings, source, url]);
    await sleep(POLL_MS * 5); // the daemon has collected its child then
    const client = usedSince(before.client, usageOfOurChildren());
    const far = usedSince(before.server, usageOf(server));
    const now = this.#proxy?.bytes;
    const counted = wire && now ? { up: now.up - wire.up, down: now.down - wire.down } : null;
    return {
      seconds,
      upBytes: counted?.up ?? statOf(stdout, 'Total bytes sent'),
      downBytes: counted?.down ?? statOf(stdout, 'Total bytes received'),
      cpuSeconds: { near: client.cpuSeconds, far: far.cpuSeconds },
      readBytes: { near: client.readBytes, far: far.readBytes },
      storageBytes: { near: client.storageBytes, far: far.storageBytes },
    };
  }

  async close(): Promise<void> {
    this.#proxy?.close();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

const statOf = (text: string, name: string): number =>
  Number(new RegExp(`${name}: ([\\d,]+)`).exec(text)?.[1]?.replaceAll(',', '') ?? Number.NaN);

async function answers(port: number): Promise<boolean> {
  const socket = createConnection(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
