// What the round thread's side of a node works with, and what of it touches the machine: files,
// disks, network, waiting. All of it is handed in, so that the simulator runs the same roles,
// sessions and rounds in a world of its own (DESIGN.md §5); `realMachinery` is this machine.
import { fstatSync } from 'node:fs';
import { readArchiveSecret } from '../archive/secret.js';
import { type Clock, nextTurn, systemClock } from '../base/clock.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import { type Random, systemRandom } from '../base/random.js';
import type { Device } from '../disk/device.js';
import { type PoolShare, poolShare } from '../disk/device-pool.js';
import { openFileDevice } from '../disk/file-device.js';
import { bootId, type Fingerprint, fingerprintOf, sameFingerprint } from '../disk/fingerprint.js';
import type { DiskPrint, Fingerprints } from '../disk/fingerprints.js';
import { reserveSpace } from '../disk/syscalls.js';
import type { Secret } from '../format/archive-identity.js';
import { dialPeer } from '../net/connect.js';
import { listenForPeers } from '../net/listen.js';
import { openStore, type StoreOptions } from '../store/open-store.js';
import type { ObjectStore } from '../store/store.js';
import { atomicsWaiter, type Waiter } from '../volume/waiter.js';
import type { ComputePool } from './compute-pool.js';
import type { OpenDisk } from './thread-messages.js';

/** How peers are reached. */
export interface Network {
  readonly dial: typeof dialPeer;
  readonly listen: typeof listenForPeers;
}

/** Where archives are. */
export interface Stores {
  readonly open: (options: StoreOptions, clock: Clock) => Promise<ObjectStore>;
  /** What is in a key file. */
  readonly secret: (path: string) => Promise<Secret>;
}

/** What is made of a disk that control has opened and locked. */
export interface DiskAccess {
  /** Random id of this boot of the machine. */
  readonly bootId: string;
  deviceOf(disk: OpenDisk): Device;
  fingerprintsOf(disk: OpenDisk): Fingerprints;
}

export interface Machinery {
  readonly node: string;
  readonly compute: ComputePool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly files: Files;
  readonly disks: DiskAccess;
  readonly network: Network;
  readonly stores: Stores;
  readonly waiter: Waiter;
}

/** This machine's. */
export const realMachinery = (node: string, compute: ComputePool, log: Log): Machinery => ({
  node,
  compute,
  clock: systemClock,
  random: systemRandom,
  log,
  files: nodeFiles(reserveSpace),
  disks: { bootId: bootId(), deviceOf, fingerprintsOf },
  network: { dial: dialPeer, listen: listenForPeers },
  stores: { open: openStore, secret: readArchiveSecret },
  waiter: atomicsWaiter(nextTurn),
});

/** The fingerprints of an open disk. */
function fingerprintsOf(disk: OpenDisk): Fingerprints {
  return {
    bootId: bootId(),
    now: async () => ({ ...fingerprintOf(disk.fd) }),
    differs: (before: DiskPrint, now: DiskPrint, look) => {
      const sameBoot = before['bootId'] === now['bootId'];
      const between = { sameBoot, cleanStop: look === 'untouched' };
      const result = sameFingerprint(asPrint(before), asPrint(now), between);
      return result === 'same' ? null : result.differs;
    },
  };
}

/** The state file is this program's own, with a checksum: what it holds was a fingerprint. */
const asPrint = (print: DiskPrint): Fingerprint => print as unknown as Fingerprint;

/** Pool operations of the round thread, for all disks on one device (H19). */
const POOL_OPERATIONS_PER_DEVICE = 4;
const poolShares = new Map<number, PoolShare>();

function shareOf({ fd, kind }: OpenDisk): PoolShare {
  const { dev, rdev } = fstatSync(fd);
  const device = kind === 'block' ? rdev : dev;
  const share = poolShares.get(device) ?? poolShare(POOL_OPERATIONS_PER_DEVICE);
  poolShares.set(device, share);
  return share;
}

/** For the round thread: it knows what it wants, and read-ahead would bring in clean chunks. */
const deviceOf = (disk: OpenDisk): Device =>
  openFileDevice(disk.fd, disk.path, disk.kind, disk.sizeBytes, {
    ownsFd: false,
    readAhead: false,
    poolShare: shareOf(disk),
    syncMemory: disk.syncMemory,
  });
