// A data thread of nbd-plain.ts: serves connections on a Disk that is the device and nothing else.
// Reads, writes and the sharing of flushes are as in a tracked disk. Offsets and lengths are bytes.
import { parentPort, workerData } from 'node:worker_threads';
import { MIB } from '../src/base/units.js';
import { poolShare } from '../src/disk/device-pool.js';
import type { Disk, Sooner } from '../src/disk/disk.js';
import { openFileDevice } from '../src/disk/file-device.js';
import type { HandedConnection } from '../src/nbd/listener.js';
import { serveTransmission } from '../src/nbd/transmission.js';

const { fd, image, sizeBytes } = workerData as {
  readonly fd: number;
  readonly image: string;
  readonly sizeBytes: number;
};
/** A thread's part of the four pool operations of a device. */
const POOL_OPERATIONS_MAX = 2;
const device = openFileDevice(fd, image, 'file', sizeBytes, {
  ownsFd: false,
  poolShare: poolShare(POOL_OPERATIONS_MAX),
});

let flushing: Promise<void> | null = null;
let nextFlush: Promise<void> | null = null;

function sync(): Promise<void> {
  flushing = device.sync().finally(() => {
    flushing = null;
  });
  return flushing;
}

const disk: Disk = {
  sizeBytes,
  readOnly: false,
  contexts: [],
  read: (offset, into): Sooner =>
    device.readCached(offset, into) ? 'done' : device.read(offset, into),
  write: (offset, bytes): Sooner => {
    device.writeNow(offset, bytes);
    return 'done';
  },
  zero: async (offset, length, mayPunch) => {
    for (let at = offset; at < offset + length; at += MIB) {
      device.zeroNow(at, Math.min(MIB, offset + length - at), mayPunch);
    }
    return 'done';
  },
  trim: async () => {},
  flush: () => {
    if (flushing === null) return sync();
    nextFlush ??= flushing
      .catch(() => undefined)
      .then(() => {
        nextFlush = null;
        return sync();
      });
    return nextFlush;
  },
  prefetch: () => {},
  status: (_context, _offset, length) => [{ length, flags: 0 }],
};

parentPort?.on('message', (facts: Omit<HandedConnection, 'done'>) => {
  serveTransmission({ ...facts, disk, onClose: () => {} });
});
