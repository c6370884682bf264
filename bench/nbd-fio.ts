// fio as the client of the NBD benchmark: one workload against one server, through its nbd engine
// (libnbd). Latencies are fio's completion latencies in microseconds, without those of FLUSHes,
// which stand apart; CPU is that of the server's process, all its threads.
import { run, usageOf, usedSince } from './meters.js';
import type { Workload } from './nbd-cases.js';
import type { NbdServer } from './nbd-servers.js';

export interface Latency {
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
}

export interface Measured extends Latency {
  /** Operations a second; FLUSHes are not counted. */
  readonly rate: number;
  readonly serverMicrosPerOperation: number;
  /** Of the FLUSHes; null where there are none. */
  readonly flush: Latency | null;
}

interface Percentiles {
  readonly percentile?: Readonly<Record<string, number>>;
}

/** The part of fio's JSON that is read. */
interface FioSide {
  readonly iops: number;
  readonly total_ios: number;
  readonly clat_ns: Percentiles;
}

/** Runs `work` for `seconds`; the same seed gives the same places. */
export async function measure(
  server: Pick<NbdServer, 'uri' | 'pid'>,
  work: Workload,
  seconds: number,
  seed: number,
): Promise<Measured> {
  const before = usageOf(server.pid);
  const { stdout } = await run('fio', fioWords(server.uri, work, seconds, seed));
  const { cpuSeconds } = usedSince(before, usageOf(server.pid));
  // Notes may stand before the document.
  const [job] = JSON.parse(stdout.slice(stdout.indexOf('{'))).jobs;
  const side: FioSide = work.pattern.endsWith('read') ? job.read : job.write;
  return {
    rate: side.iops,
    ...latencyOf(side.clat_ns),
    serverMicrosPerOperation: (cpuSeconds * 1e6) / side.total_ios,
    flush: work.flush ? latencyOf(job.sync.lat_ns) : null,
  };
}

function latencyOf({ percentile }: Percentiles): Latency {
  const micros = (name: string): number => (percentile?.[name] ?? Number.NaN) / 1000;
  return {
    p50Micros: micros('50.000000'),
    p99Micros: micros('99.000000'),
    p999Micros: micros('99.900000'),
  };
}

const fioWords = (uri: string, work: Workload, seconds: number, seed: number) => [
  `--name=${work.pattern}`,
  '--ioengine=nbd',
  `--uri=${uri}`,
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
