// A pair of real nodes of which one has vm1 on a disk that fails to order (bad-disk.ts), and what
// such tests ask of them: hastctl as an operator types it, a guest that is told its errors.
// `offset` and `length` are bytes.
import assert from 'node:assert/strict';
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import type { TestContext } from 'node:test';
import type { ResourceStatus } from '../../src/control/api.js';
import { Client, CMD } from '../nbd/client.js';
import { type BadDisk, type BadDiskOptions, badDisk } from './bad-disk.js';
import { makePair, type Pair, type PairOptions, type RealNode } from './nodes.js';

/** Linux's EIO, as NBD has it too. */
export const EIO = 5;

export interface BadPairOptions extends BadDiskOptions, Omit<PairOptions, 'sizeBytes'> {
  /** The node whose disk it is; default a, the primary. */
  readonly of?: 'a' | 'b';
  /** A second resource vm2 on an ordinary disk of both nodes; default false. */
  readonly neighbour?: boolean;
}

export interface BadPair extends Pair {
  readonly disk: BadDisk;
}

/** Both nodes running, vm1 (and vm2) primary on a, nothing replicated yet. Null after skipping. */
export async function startBadPair(
  t: TestContext,
  options: BadPairOptions,
): Promise<BadPair | null> {
  let disk: BadDisk | null = null;
  t.after(() => disk?.hang(false)); // before the nodes are killed: who waits for a disk cannot die
  const pair = await makePair(t, options);
  const { a, b, config } = pair;
  disk = await badDisk(t, options);
  if (disk === null) return null;
  symlinkSync(disk.path, (options.of === 'b' ? b : a).image);
  if (options.neighbour) appendFileSync(config, neighbourOf(readFileSync(config, 'utf8')));
  await Promise.all([a.hastd(), b.hastd()]);
  for (const name of options.neighbour ? ['vm2', 'vm1'] : ['vm1']) {
    const isOnBad = name === 'vm1' && options.of !== 'b';
    await a.ask('create', ...(isOnBad ? [] : ['-m', String(options.sizeBytes)]), name);
    await b.ask('create', name);
    await b.ask('role', 'secondary', name);
    await a.ask('role', 'primary', name);
  }
  return { ...pair, disk };
}

/** The resource of the file once more, as vm2 on disks of its own. */
const neighbourOf = (config: string): string =>
  config
    .slice(config.indexOf('resource vm1'))
    .replaceAll('vm1', 'vm2')
    .replaceAll(/local (\S+)\.img/g, 'local $1-2.img');

export const diskOfNeighbour = (node: RealNode): string => node.image.replace('.img', '-2.img');

export async function statusOf(node: RealNode, name = 'vm1'): Promise<ResourceStatus> {
  const { resources } = await node.control.status([name]);
  assert.ok(resources[0], `${node.name} has ${name}`);
  return resources[0];
}

/** `hastctl status --check`: the status it must end with, and its line. */
export async function check(node: RealNode, status: number, ...names: string[]): Promise<string> {
  const finished = await node.ctl('status', '--check', ...names);
  assert.equal(finished.status, status, `${finished.stdout}${finished.stderr}`);
  return finished.stdout;
}

/** `hastctl sync --wait`, which must end well; what it said. */
export async function sync(node: RealNode, name = 'vm1'): Promise<string> {
  const { status, stdout, stderr } = await node.ctl('sync', '--wait', name);
  assert.equal(status, 0, `${stdout}${stderr}\n${node.log()}`);
  return stdout;
}

/** Writes into a file past the daemon that serves it. */
export function overwriteBehind(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

/** A part of a file that may be too large to be read. */
export function bytesAt(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync(path, 'r');
  assert.equal(readSync(fd, bytes, 0, length, offset), length);
  closeSync(fd);
  return bytes;
}

/** One NBD connection whose answers may be errors. */
export class BadGuest {
  readonly client: Client;

  private constructor(client: Client) {
    this.client = client;
  }

  static async open(t: TestContext, node: RealNode, name = 'vm1'): Promise<BadGuest> {
    const client = await Client.open({ path: node.nbdSocket }, name);
    t.after(() => client.socket.destroy());
    return new BadGuest(client);
  }

  /** All three return the error number of the reply, 0 for none. */
  async write(offset: number, length: number, fill: number): Promise<number> {
    const asked = { type: CMD.WRITE, offset };
    return (await this.client.ask(asked, Buffer.alloc(length, fill))).error;
  }

  async flush(): Promise<number> {
    return (await this.client.ask({ type: CMD.FLUSH })).error;
  }

  /** What `length` bytes hold; the error where they cannot be read. */
  async read(offset: number, length: number): Promise<number | Buffer> {
    const { error, data } = await this.client.ask({ type: CMD.READ, offset, length });
    return error === 0 ? Buffer.from(data) : error;
  }

  /** Writes and flushes, both well. */
  async put(offset: number, length: number, fill: number): Promise<void> {
    assert.equal(await this.write(offset, length, fill), 0, 'write');
    assert.equal(await this.flush(), 0, 'flush');
  }

  /** Fails unless all bytes read are `fill`. */
  async expect(offset: number, length: number, fill: number): Promise<void> {
    const bytes = await this.read(offset, length);
    assert.ok(typeof bytes !== 'number', `error ${bytes} reading ${length} bytes at ${offset}`);
    assert.ok(bytes.equals(Buffer.alloc(length, fill)), `other content at ${offset}`);
  }
}
