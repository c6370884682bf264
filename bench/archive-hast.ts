// hast in the archive benchmark: rounds of a resource to its archive in a directory, as an operator
// starts them, with what hastd says of them; restores by `hastctl restore`, and points offered by
// `hastctl serve`. Seconds, bytes. CPU and memory of a round are of the primary's hastd, CPU also
// of hastctl; of restore and serve they are of hastctl, for nothing else runs.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { BLOCK_BYTES } from '../src/base/units.js';
import type { RoundRecord } from '../src/control/api.js';
import {
  type Cost,
  growth,
  meteredDaemon,
  meteredRun,
  peakOf,
  storedIn,
} from './archive-meters.js';
import { type BackedUp, type Restored, restored } from './archive-peers.js';
import { NbdClient } from './nbd-client.js';
import { archiveOf, type TwoNodes } from './two-nodes.js';

const HASTCTL = join(import.meta.dirname, '../src/hastctl.js');

export interface ArchiveRound extends BackedUp {
  /** It has made the archive. */
  readonly isFirst: boolean;
  readonly rounds: number;
  readonly requests: NonNullable<RoundRecord['requests']>;
  readonly upBytes: number;
  readonly sentBytes: number;
}

/** A round of the resource `name`, which has an archive alone. */
export async function archiveRound(
  { a }: TwoNodes,
  folder: string,
  name: string,
): Promise<ArchiveRound> {
  const path = archiveOf(folder, name);
  const known = new Set((await a.control.rounds(name)).rounds.map(({ id }) => id));
  if (!existsSync(path)) mkdirSync(path);
  const before = storedIn(path);
  const cost = await meteredDaemon(a.pid, () => a.hastctl('sync', name, '--wait=commit'));
  const { files, bytes } = growth(before, storedIn(path));
  const all = (await a.control.rounds(name)).rounds.filter(({ id }) => !known.has(id));
  const requests = { put: 0, get: 0, head: 0, list: 0, remove: 0 };
  for (const { outcome, error, requests: one } of all) {
    if (outcome !== 'committed' || one === undefined) throw new Error(`a round failed: ${error}`);
    for (const [kind, count] of Object.entries(one)) {
      requests[kind as keyof typeof requests] += count;
    }
  }
  const sum = (of: (round: RoundRecord) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  return {
    seconds: cost.seconds,
    cpuSeconds: cost.cpuSeconds,
    peakBytes: cost.peakBytes,
    objects: files,
    storedBytes: bytes,
    isFirst: known.size === 0,
    rounds: all.length,
    requests,
    upBytes: sum(({ wireUpBytes }) => wireUpBytes),
    sentBytes: sum(({ sentBytes }) => sentBytes),
  };
}

/** Bytes up of one more round of a resource with a replica, as hastd counts them. */
export async function networkRound({ a }: TwoNodes, name: string): Promise<number> {
  await a.hastctl('sync', name, '--wait=commit');
  const last = (await a.control.rounds(name)).rounds.at(-1);
  if (last?.outcome === 'committed') return last.wireUpBytes;
  throw new Error(`the round to the replica failed: ${last?.error}`);
}

/** A round with nothing to carry, while the archive is not where it was: a request would fail, and
 * with it the round. Returns the rounds and the failures that came of it: 0. */
export async function idleRound({ a }: TwoNodes, folder: string, name: string): Promise<number> {
  const path = archiveOf(folder, name);
  const rounds = async (): Promise<number> => (await a.control.rounds(name)).rounds.length;
  const before = await rounds();
  renameSync(path, `${path}.away`);
  try {
    const { signal } = new AbortController();
    const { outcomes } = await a.control.sync(name, { wait: 'commit' }, signal);
    const others = outcomes.filter(({ outcome }) => outcome !== 'nothing').length;
    return others + ((await rounds()) - before) + (existsSync(path) ? 1 : 0);
  } finally {
    renameSync(`${path}.away`, path);
  }
}

const latestOf = (folder: string, name: string): string =>
  `file://${archiveOf(folder, name)}@latest`;

/** `nodeArgs`: Node's own for hastctl, as --cpu-prof. */
export async function hastRestore(
  folder: string,
  name: string,
  into: string,
  nodeArgs: readonly string[],
): Promise<Restored & { readonly path: string }> {
  const path = join(into, 'restored.img');
  const args = [...nodeArgs, HASTCTL, 'restore', latestOf(folder, name), path];
  return { ...(await restored(into, () => meteredRun(process.execPath, args))), path };
}

export interface Opened extends Cost {
  /** Until the URI was printed, and from then until the first block was there. */
  readonly uriSeconds: number;
  readonly firstBlockSeconds: number;
}

/** Serves the newest point until `use` has ended. `firstAt`: offset of the first block read. */
export async function hastServe(
  folder: string,
  name: string,
  firstAt: number,
  use: (client: NbdClient) => Promise<void>,
): Promise<Opened> {
  const began = performance.now();
  const sinceBegan = (): number => (performance.now() - began) / 1000;
  const socket = join(folder, `serve-${name}`);
  const args = [HASTCTL, 'serve', latestOf(folder, name), '--socket', socket];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await firstLine(child);
    const uriSeconds = sinceBegan();
    const client = await NbdClient.open(socket, '');
    await client.read(firstAt, Buffer.alloc(BLOCK_BYTES));
    const firstBlockSeconds = sinceBegan() - uriSeconds;
    await use(client);
    await client.close();
    const peakBytes = peakOf(child.pid ?? 0);
    return { uriSeconds, firstBlockSeconds, seconds: sinceBegan(), cpuSeconds: 0, peakBytes };
  } finally {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }
}

async function firstLine({ stdout }: ChildProcess): Promise<void> {
  let out = '';
  for await (const piece of stdout ?? []) {
    out += String(piece);
    if (out.endsWith('\n')) return;
  }
  throw new Error('hastctl serve did not begin');
}
