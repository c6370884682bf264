// `npm run bench -- nbd`: the guest's path beside qemu-nbd and nbdkit. Every workload on every
// server, several rounds, each server first in turn; what counts is the ratio of the medians. No
// bars yet. Pages are in the cache; what was written is synced before the next measurement.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { loadNow, median, rotated } from './meters.js';
import { type Measured, measure, WORKLOADS, type Workload } from './nbd-fio.js';
import { type NbdServer, startServers } from './nbd-servers.js';
import { syncFiles } from './residency.js';
import { printTable } from './round-report.js';
import { profilesTo } from './two-nodes.js';

export interface NbdBenchOptions {
  readonly sizeBytes: number;
  readonly seconds: number;
  readonly pairs: number;
  readonly seed: number;
  readonly directory: string;
  /** Name of one workload; null: all. */
  readonly only: string | null;
  /** Folder for CPU profiles of both hastds; null: none are made. */
  readonly profiles: string | null;
}

/** One server at one workload: every round, and their medians. */
interface Row {
  readonly server: string;
  readonly rounds: readonly Measured[];
  readonly median: Measured;
}

interface Cell {
  readonly workload: Workload;
  readonly load: number;
  readonly rows: readonly Row[];
}

export async function benchNbd(options: NbdBenchOptions): Promise<void> {
  const { directory, seed, sizeBytes, only } = options;
  const machine = machineFacts(directory, seed, ['fio', 'qemu-nbd', 'nbdkit']);
  printMachine(machine);
  const works = WORKLOADS.filter(({ name }) => only === null || name === only);
  if (works.length === 0) {
    throw new Error(`no such workload; there are: ${WORKLOADS.map(({ name }) => name).join(', ')}`);
  }
  const folder = mkdtempSync(join(directory, 'hast-bench-'));
  let servers: readonly NbdServer[] = [];
  try {
    servers = await startServers(folder, sizeBytes, seed, profilesTo(options.profiles));
    const cells: Cell[] = [];
    for (const work of works) {
      const cell = await oneCell(servers, work, options);
      printCell(cell);
      cells.push(cell);
    }
    keepResult('nbd', machine, { settings: options, cells });
  } finally {
    for (const server of servers) await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function oneCell(
  servers: readonly NbdServer[],
  workload: Workload,
  options: NbdBenchOptions,
): Promise<Cell> {
  const rounds = new Map<string, Measured[]>(servers.map(({ name }) => [name, []]));
  const load = loadNow();
  for (let round = 0; round < options.pairs; round += 1) {
    for (const server of rotated(servers, round)) {
      await syncFiles(servers.map(({ image }) => image));
      const measured = await measure(server, workload, options.seconds, options.seed + round);
      rounds.get(server.name)?.push(measured);
    }
  }
  const rows = [...rounds].map(([server, all]) => ({
    server,
    rounds: all,
    median: {
      rate: median(all.map((one) => one.rate)),
      p50Micros: median(all.map((one) => one.p50Micros)),
      p99Micros: median(all.map((one) => one.p99Micros)),
      serverMicrosPerOperation: median(all.map((one) => one.serverMicrosPerOperation)),
    },
  }));
  return { workload, load, rows };
}

function printCell({ workload, load, rows }: Cell): void {
  console.log(`\n${workload.name} (load ${load})`);
  const ours = rows[0]?.median.rate ?? Number.NaN;
  const large = workload.blockBytes >= 2 ** 20;
  const shown = (rate: number): string =>
    large ? `${((rate * workload.blockBytes) / 1e9).toFixed(2)} GB/s` : rate.toFixed(0);
  printTable([
    ['', large ? 'rate' : 'op/s', 'hast / it', 'p50 us', 'p99 us', 'server us/op', 'rounds'],
    ...rows.map(({ server, median: middle, rounds }) => [
      server,
      shown(middle.rate),
      (ours / middle.rate).toFixed(2),
      middle.p50Micros.toFixed(0),
      middle.p99Micros.toFixed(0),
      middle.serverMicrosPerOperation.toFixed(1),
      rounds.map((one) => shown(one.rate).replace(' GB/s', '')).join(' '),
    ]),
  ]);
}
