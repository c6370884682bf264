// The NBD servers that are compared: hastd with tracking on, after its first copy, with its replica
// connected; hast's server on the bare file; qemu-nbd (both of its ways to do I/O) and nbdkit as
// their manuals start them for one raw file with several clients. Each serves a file of its own
// with the same content, by a unix socket. All files are made by the same small writes: a file
// written or read ahead in large pieces stands in the page cache in large folios, where ext4 takes
// ten times as long for a write of 4 KiB, whoever serves it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../src/base/random.js';
import { HAST, NBDKIT, QEMU_THREADS, QEMU_URING, UNTRACKED } from './nbd-cases.js';
import { seededContent } from './round-content.js';
import { copyInBlocks, makeImage } from './round-image.js';
import { type BenchNode, startTwoNodes } from './two-nodes.js';

const START_MS_MAX = 10_000;
const POLL_MS = 20;
const CLIENTS_MAX = 16;

export interface NbdServer {
  readonly name: string;
  readonly uri: string;
  readonly image: string;
  /** The process whose CPU is counted. */
  readonly pid: number;
  close(): Promise<void>;
}

export interface Servers {
  /** hastd first; all in the order they were named. */
  readonly all: readonly NbdServer[];
  /** The primary behind the first one. */
  readonly node: BenchNode;
  close(): Promise<void>;
}

/** Starts hastd and the named others on files of `sizeBytes` in `folder`, every block of them
 * written before. `nodeArgs` are Node's own for hastd. */
export async function startServers(
  folder: string,
  sizeBytes: number,
  seed: number,
  nodeArgs: readonly string[],
  others: readonly string[],
): Promise<Servers> {
  const random = seededRandom(seed);
  const original = join(folder, 'original.img');
  makeImage(original, sizeBytes, random, seededContent(random), 100);
  const image = (index: number): string => join(folder, `peer${index}.img`);
  const own = join(folder, 'a.img');
  for (const path of [own, ...others.map((_, index) => image(index))]) copyInBlocks(original, path);
  rmSync(original);
  const servers: NbdServer[] = [];
  const close = async (): Promise<void> => {
    for (const server of servers) await server.close();
  };
  try {
    const { server, node } = await startHast(folder, own, nodeArgs);
    servers.push(server);
    for (const [index, name] of others.entries()) {
      servers.push(await startPeer(name, join(folder, `peer${index}.nbd`), image(index)));
    }
    return { all: servers, node, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startHast(
  folder: string,
  image: string,
  nodeArgs: readonly string[],
): Promise<{ readonly server: NbdServer; readonly node: BenchNode }> {
  const nodes = await startTwoNodes(folder, nodeArgs);
  const { a } = nodes;
  try {
    await a.hastctl('sync', 'vm1', '--wait');
  } catch (error) {
    await nodes.close();
    throw error;
  }
  const uri = `nbd+unix:///vm1?socket=${a.nbdSocket}`;
  return { server: { name: HAST, uri, image, pid: a.pid, close: nodes.close }, node: a };
}

/** How a peer is started. */
function commandOf(name: string, socket: string, image: string): readonly [string, ...string[]] {
  const qemu = (aio: string): readonly [string, ...string[]] => [
    ...(['qemu-nbd', '--persistent', '--format=raw', '--discard=unmap', `--aio=${aio}`] as const),
    ...[`--shared=${CLIENTS_MAX}`, `--socket=${socket}`, image],
  ];
  switch (name) {
    case QEMU_THREADS:
      return qemu('threads');
    case QEMU_URING:
      return qemu('io_uring');
    case NBDKIT:
      return ['nbdkit', '--foreground', '--unix', socket, 'file', image];
    case UNTRACKED:
      return [process.execPath, join(import.meta.dirname, 'nbd-plain.js'), image, socket];
    default:
      throw new Error(`no such server: ${name}`);
  }
}

async function startPeer(name: string, socket: string, image: string): Promise<NbdServer> {
  const [program, ...words] = commandOf(name, socket, image);
  // The pool's size is hastd's own (hastd.cts); the other programs do not look at it.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '16' };
  const child = spawn(program, words, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  for (let waitedMs = 0; !existsSync(socket); waitedMs += POLL_MS) {
    if (waitedMs >= START_MS_MAX || child.exitCode !== null) {
      await ended(child);
      throw new Error(`${name} does not serve ${socket}`);
    }
    await sleep(POLL_MS);
  }
  const uri = `nbd+unix:///?socket=${socket}`;
  return { name, uri, image, pid: child.pid ?? 0, close: () => ended(child) };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}
