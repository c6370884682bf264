// What the NBD benchmark measures, and the bars that each figure is held to. Pure.
// A workload is named by what fio does: `4k write QD16 x4` is random writes of 4 KiB, 16 in flight
// on each of 4 connections; `1M` is sequential; `+flush` has a FLUSH after every write; `cold`
// begins with nothing of the image in the page cache.
import { MIB } from '../src/base/units.js';

export interface Workload {
  readonly name: string;
  readonly pattern: 'randwrite' | 'randread' | 'write' | 'read';
  readonly blockBytes: number;
  readonly depth: number;
  readonly connections: number;
  /** A FLUSH after every write. */
  readonly flush: boolean;
  /** The image is dropped from the page cache before. */
  readonly cold: boolean;
}

/** Images on the file system of --directory, or on the one in memory. */
export type Place = 'disk' | 'tmpfs';

export interface Bar {
  /** Name of the peer's server, or of hast without tracking. */
  readonly peer: string;
  readonly what: 'rate' | 'cpu';
  /** The median of hast / peer is at least, or (CPU) at most, this. */
  readonly limit: number;
}

export const HAST = 'hast';
export const UNTRACKED = 'hast, untracked';
export const QEMU_THREADS = 'qemu-nbd threads';
export const QEMU_URING = 'qemu-nbd io_uring';
export const NBDKIT = 'nbdkit';
export const PEERS = [QEMU_THREADS, QEMU_URING, NBDKIT] as const;

const BLOCK = 4096;
const DEPTHS = [1, 16, 32] as const;
const CONNECTIONS = [1, 4] as const;
const SEQUENTIAL_DEPTH = 4;

function small(pattern: 'randwrite' | 'randread', depth: number, connections: number): Workload {
  const verb = pattern === 'randwrite' ? 'write' : 'read';
  const name = `4k ${verb} QD${depth}${connections > 1 ? ` x${connections}` : ''}`;
  return { name, pattern, blockBytes: BLOCK, depth, connections, flush: false, cold: false };
}

function large(pattern: 'write' | 'read'): Workload {
  const rest = { depth: SEQUENTIAL_DEPTH, connections: 1, flush: false, cold: false };
  return { name: `1M ${pattern} QD${SEQUENTIAL_DEPTH}`, pattern, blockBytes: MIB, ...rest };
}

const flushed = (depth: number): Workload => ({
  ...small('randwrite', depth, 1),
  name: `4k write+flush QD${depth}`,
  flush: true,
});

const cold = (depth: number): Workload => ({
  ...small('randread', depth, 1),
  name: `4k cold read QD${depth}`,
  cold: true,
});

/** In the order they are run: cold reads last, because reading ahead leaves large folios. */
export const WORKLOADS: readonly Workload[] = [
  ...(['randwrite', 'randread'] as const).flatMap((pattern) =>
    CONNECTIONS.flatMap((connections) => DEPTHS.map((depth) => small(pattern, depth, connections))),
  ),
  large('write'),
  large('read'),
  flushed(1),
  flushed(16),
  cold(1),
  cold(16),
];

/** Memory has no medium to be durable on, nor to be cold on. */
export const workloadsOn = (place: Place): readonly Workload[] =>
  WORKLOADS.filter((work) => place === 'disk' || !(work.flush || work.cold));

/** Where tracking is compared with none: writes that keep the processor busy. */
export const TRACKING_WORKLOADS: readonly Workload[] = [
  small('randwrite', 16, 1),
  small('randwrite', 16, 4),
  large('write'),
];

const TRACKING_BAR: Bar = { peer: UNTRACKED, what: 'cpu', limit: 1.05 };

export const barsOfTracking = (): readonly Bar[] => [TRACKING_BAR];

/** The bars of a workload; none where a figure is reported only. */
export function barsOf(work: Workload): readonly Bar[] {
  const rate = (peer: string, limit: number): Bar => ({ peer, what: 'rate', limit });
  if (work.cold) return [rate(NBDKIT, 0.7)];
  if (work.flush) return [rate(NBDKIT, 0.9)];
  if (work.blockBytes > BLOCK) return [rate(NBDKIT, 1.2)];
  if (work.depth !== 16) return [];
  const qemu = [rate(QEMU_THREADS, 3), rate(QEMU_URING, 3)];
  return work.connections > 1 ? [rate(NBDKIT, 1.5)] : [rate(NBDKIT, 1.1), ...qemu];
}
