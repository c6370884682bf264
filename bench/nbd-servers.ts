// The NBD servers that are compared: hastd with tracking on, after its first copy, with its replica
// connected; qemu-nbd and nbdkit as their manuals start them for one raw file with several clients.
// Each serves a file of its own with the same content, by a unix socket. All three files are made
// by the same small writes: a file written or read ahead in large pieces stands in the page cache
// in large folios, where ext4 takes ten times as long for a write of 4 KiB, whoever serves it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededRandom } from '../src/base/random.js';
import { seededContent } from './round-content.js';
import { copyInBlocks, makeImage } from './round-image.js';
import { startTwoNodes } from './two-nodes.js';

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

/** Starts the three on files of `sizeBytes` in `folder`, every block of them written before.
 * `nodeArgs` are Node's own for hastd. */
export async function startServers(
  folder: string,
  sizeBytes: number,
  seed: number,
  nodeArgs: readonly string[],
): Promise<readonly NbdServer[]> {
  const random = seededRandom(seed);
  const original = join(folder, 'original.img');
  makeImage(original, sizeBytes, random, seededContent(random), 100);
  const image = (name: string): string => join(folder, `${name}.img`);
  for (const name of ['a', 'qemu-nbd', 'nbdkit']) copyInBlocks(original, image(name));
  rmSync(original);
  const servers: NbdServer[] = [];
  try {
    servers.push(await startHast(folder, image('a'), nodeArgs));
    servers.push(await startQemu(folder, image('qemu-nbd')));
    servers.push(await startNbdkit(folder, image('nbdkit')));
    return servers;
  } catch (error) {
    for (const server of servers) await server.close();
    throw error;
  }
}

async function startHast(
  folder: string,
  image: string,
  nodeArgs: readonly string[],
): Promise<NbdServer> {
  const nodes = await startTwoNodes(folder, nodeArgs);
  const { a } = nodes;
  try {
    await a.hastctl('sync', 'vm1', '--wait');
  } catch (error) {
    await nodes.close();
    throw error;
  }
  const uri = `nbd+unix:///vm1?socket=${a.nbdSocket}`;
  return { name: 'hast', uri, image, pid: a.pid, close: nodes.close };
}

function startQemu(folder: string, image: string): Promise<NbdServer> {
  const words = ['--persistent', '--format=raw', '--discard=unmap', `--shared=${CLIENTS_MAX}`];
  return startPeer('qemu-nbd', folder, image, (socket) => [...words, `--socket=${socket}`, image]);
}

function startNbdkit(folder: string, image: string): Promise<NbdServer> {
  return startPeer('nbdkit', folder, image, (socket) => [
    '--foreground',
    '--unix',
    socket,
    'file',
    image,
  ]);
}

async function startPeer(
  name: string,
  folder: string,
  image: string,
  words: (socket: string) => readonly string[],
): Promise<NbdServer> {
  const socket = join(folder, `${name}.nbd`);
  const child = spawn(name, words(socket), { stdio: 'ignore' });
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
