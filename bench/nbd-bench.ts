// `npm run bench -- nbd`: the guest's path beside qemu-nbd and nbdkit. Every workload on every
// server, pair after pair, each server first in turn; what counts is the median of the ratios of
// each pair. Pages are in the cache but for the cold reads; what was written is synced before the
// next measurement. Then: tracking on against off, writes while rounds run, memory when idle.
// What it does not show: TCP, a real network, a guest's own page cache, a slow or shared disk (cold
// reads come from whatever is below the file system here), more processors than this machine has.
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { loadNow, rotated } from './meters.js';
import {
  type Bar,
  barsOf,
  barsOfTracking,
  PEERS,
  type Place,
  TRACKING_WORKLOADS,
  UNTRACKED,
  WORKLOADS,
  type Workload,
  workloadsOn,
} from './nbd-cases.js';
import { type Measured, measure } from './nbd-fio.js';
import { type IdleMemory, idleMemory, printMemory } from './nbd-memory.js';
import { type Cell, cellOf, printCell, printOverview, printVerdicts } from './nbd-results.js';
import { printUnderRounds, type UnderRounds, underRounds } from './nbd-rounds.js';
import { type NbdServer, type Servers, startServers } from './nbd-servers.js';
import { bringIn, evict, syncFiles } from './residency.js';
import { profilesTo } from './two-nodes.js';

export interface NbdBenchOptions {
  readonly sizeBytes: number;
  readonly seconds: number;
  readonly pairs: number;
  readonly seed: number;
  readonly directory: string;
  /** A file system in memory. */
  readonly memory: string;
  readonly places: readonly Place[];
  /** Text that a workload's name contains; null: all, and what is measured beside them. */
  readonly only: string | null;
  /** Only workloads that have a bar. */
  readonly quick: boolean;
  /** Folder for CPU profiles of both hastds; null: none are made. */
  readonly profiles: string | null;
}

/** A workload at a place, still to be measured. */
interface Planned {
  readonly workload: Workload;
  readonly bars: readonly Bar[];
  readonly seconds: number;
}

const WARM_UP = WORKLOADS.filter(({ name }) => /^4k (write|read) QD16 x4$/.test(name));
/** Tracking costs percents: its runs are longer. */
const TRACKING_TIMES = 2;

/** Runs all of it; false when a bar is missed. */
export async function benchNbd(options: NbdBenchOptions): Promise<boolean> {
  const { directory, seed, places, only, quick } = options;
  const machine = machineFacts(directory, seed, ['fio', 'qemu-nbd', 'nbdkit']);
  printMachine(machine);
  const wanted = (work: Workload): boolean =>
    (only === null || work.name.includes(only)) && (!quick || barsOf(work).length > 0);
  const progress = new Progress(options, wanted);
  const cells: Cell[] = [];
  let rounds: UnderRounds | null = null;
  for (const place of places) {
    const at = place === 'disk' ? directory : options.memory;
    const works = workloadsOn(place).filter(wanted);
    const plan = works.map((workload) => ({
      workload,
      bars: barsOf(workload),
      seconds: options.seconds,
    }));
    await withServers(options, at, PEERS, async ({ all, node }) => {
      for (const one of plan) cells.push(await oneCell(all, place, one, options, progress));
      if (place === 'disk' && only === null) {
        rounds = await underRounds(all[0] as NbdServer, node, options);
        printUnderRounds(rounds);
      }
    });
    const tracked = TRACKING_WORKLOADS.filter(wanted).map((workload) => ({
      workload,
      bars: barsOfTracking(),
      seconds: options.seconds * TRACKING_TIMES,
    }));
    if (tracked.length === 0) continue;
    await withServers(options, at, [UNTRACKED], async ({ all }) => {
      for (const one of tracked) cells.push(await oneCell(all, place, one, options, progress));
    });
  }
  const memory: readonly IdleMemory[] = only === null ? await idleMemory(directory) : [];
  printMemory(memory);
  printOverview(cells);
  const passed = printVerdicts(cells);
  keepResult('nbd', machine, { settings: options, cells, underRounds: rounds, memory });
  return passed;
}

async function withServers(
  options: NbdBenchOptions,
  at: string,
  others: readonly string[],
  work: (servers: Servers) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(at, 'hast-bench-'));
  let servers: Servers | null = null;
  try {
    const { sizeBytes, seed, profiles } = options;
    servers = await startServers(folder, sizeBytes, seed, profilesTo(profiles), others);
    // hastd drops the page cache before a first copy, and nobody else has had one.
    for (const { image } of servers.all) bringIn(image);
    await warmUp(servers.all, options);
    await work(servers);
  } finally {
    await servers?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Compilers at run time, allocators and page tables have seen the work before it is measured. */
async function warmUp(
  servers: readonly NbdServer[],
  { seconds, seed }: NbdBenchOptions,
): Promise<void> {
  for (const work of WARM_UP) {
    for (const server of servers) await measure(server, work, seconds, seed);
  }
  await syncFiles(servers.map(({ image }) => image));
}

async function oneCell(
  servers: readonly NbdServer[],
  place: Place,
  { workload, bars, seconds }: Planned,
  options: NbdBenchOptions,
  progress: Progress,
): Promise<Cell> {
  const rounds = new Map<string, Measured[]>(servers.map(({ name }) => [name, []]));
  const load = loadNow();
  for (let pair = 0; pair < options.pairs; pair += 1) {
    for (const server of rotated(servers, pair)) {
      if (workload.cold) await evict([server.image]);
      const measured = await measure(server, workload, seconds, options.seed + pair);
      if (workload.pattern.endsWith('write')) await syncFiles([server.image]);
      rounds.get(server.name)?.push(measured);
      progress.did(seconds);
    }
  }
  const rows = [...rounds].map(([server, all]) => ({ server, rounds: all }));
  const cell = cellOf(place, workload, load, rows, bars);
  printCell(cell);
  progress.print();
  return cell;
}

/** How long the measurements still take, from how long those took that are done. */
class Progress {
  readonly #beganMs = performance.now();
  readonly #totalSeconds: number;
  #doneSeconds = 0;

  constructor(options: NbdBenchOptions, wanted: (workload: Workload) => boolean) {
    const { places, pairs, seconds } = options;
    const works = places.flatMap((place) => workloadsOn(place).filter(wanted)).length;
    const tracked = places.length * TRACKING_WORKLOADS.filter(wanted).length * TRACKING_TIMES;
    this.#totalSeconds = pairs * seconds * (works * (1 + PEERS.length) + tracked * 2);
  }

  did(seconds: number): void {
    this.#doneSeconds += seconds;
  }

  print(): void {
    const spentSeconds = (performance.now() - this.#beganMs) / 1000;
    const left = spentSeconds * (this.#totalSeconds / this.#doneSeconds - 1);
    const share = (100 * this.#doneSeconds) / this.#totalSeconds;
    console.log(`-- ${share.toFixed(0)} % done, about ${(left / 60).toFixed(1)} minutes left`);
  }
}
