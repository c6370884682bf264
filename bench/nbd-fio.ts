// fio as the client of the NBD benchmark: one workload against one server, through its nbd engine
// (libnbd). Latencies are fio's completion latencies in microseconds, CPU is the server's.
import { run, usageOf, usedSince } from './meters.js';
import type { NbdServer } from './nbd-servers.js';

export interface Workload {
  readonly name: string;
  readonly pattern: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockBytes: number;
  readonly depth: number;
  readonly connections: number;
  /** A FLUSH after every write. */
  readonly flush: boolean;
}

const workload = (name: string, pattern: Workload['pattern'], changes: Partial<Workload>) => ({
  ...{ name, pattern, blockBytes: 4096, depth: 1, connections: 1, flush: false },
  ...changes,
});

export const WORKLOADS: readonly Workload[] = [
  workload('4k randwrite QD1', 'randwrite', {}),
  workload('4k randread QD1', 'randread', {}),
  workload('4k randwrite QD16', 'randwrite', { depth: 16 }),
  workload('4k randread QD16', 'randread', { depth: 16 }),
  workload('4k randwrite QD16 x 4', 'randwrite', { depth: 16, connections: 4 }),
  workload('4k randread QD16 x 4', 'randread', { depth: 16, connections: 4 }),
  workload('1M write QD4', 'write', { blockBytes: 2 ** 20, depth: 4 }),
  workload('1M read QD4', 'read', { blockBytes: 2 ** 20, depth: 4 }),
  workload('4k write+flush QD1', 'randwrite', { flush: true }),
  workload('4k write+flush QD16', 'randwrite', { depth: 16, flush: true }),
];

export interface Measured {
  /** Operations a second; FLUSHes are not counted. */
  readonly rate: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly serverMicrosPerOperation: number;
}

/** The part of fio's JSON that is read. */
interface FioSide {
  readonly iops: number;
  readonly total_ios: number;
  readonly clat_ns: { readonly percentile: Readonly<Record<string, number>> };
}

/** Runs `work` for `seconds`; the same seed gives the same places. */
export async function measure(
  server: NbdServer,
  work: Workload,
  seconds: number,
  seed: number,
): Promise<Measured> {
  const before = usageOf(server.pid);
  const { stdout } = await run('fio', fioWords(server, work, seconds, seed));
  const { cpuSeconds } = usedSince(before, usageOf(server.pid));
  // Notes may stand before the document.
  const [job] = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs;
  const side: FioSide = work.pattern.endsWith('read') ? job.read : job.write;
  const micros = (percentile: string): number =>
    (side.clat_ns.percentile[percentile] ?? Number.NaN) / 1000;
  return {
    rate: side.iops,
    p50Micros: micros('50.000000'),
    p99Micros: micros('99.000000'),
    serverMicrosPerOperation: (cpuSeconds * 1e6) / side.total_ios,
  };
}

const fioWords = (server: NbdServer, work: Workload, seconds: number, seed: number) => [
  `--name=${work.pattern}`,
  '--ioengine=nbd',
  `--uri=${server.uri}`,
  `--rw=${work.pattern}`,
  `--bs=${work.blockBytes}`,
  `--iodepth=${work.depth}`,
  `--numjobs=${work.connections}`,
  '--group_reporting',
  '--time_based',
  `--runtime=${seconds}`,
  `--randseed=${seed}`,
  '--norandommap',
  '--output-format=json',
  ...(work.flush ? ['--fsync=1'] : []),
];
