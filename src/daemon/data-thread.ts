// Entry of a data thread: serves guests of the volumes of one device (H19). Connections come as fd
// numbers with the bytes already read; writes go straight from the receive buffer to the page
// cache. Nothing here knows targets, rounds or networks (W4).
import { parentPort } from 'node:worker_threads';
import { present } from '../base/assert.js';
import { nextTurn, systemClock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { FileHandle } from '../base/files.js';
import { pinoLog } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import { type PoolShare, poolShare } from '../disk/device-pool.js';
import { openFileDevice } from '../disk/file-device.js';
import { reserveSpace } from '../disk/syscalls.js';
import type { Agreement } from '../nbd/protocol.js';
import { type Connection, serveTransmission } from '../nbd/transmission.js';
import { Core } from '../volume/core.js';
import { intentWriter } from '../volume/intent.js';
import { fileSpill } from '../volume/spill.js';
import { TrackedDisk } from '../volume/tracked-disk.js';
import { atomicsWaiter } from '../volume/waiter.js';
import { sharedCounters } from './counters.js';
import { connectThreads } from './thread-calls.js';
import type { DataThread, DataThreadOwner, ServedVolume, Trouble } from './thread-messages.js';
import { type WatchedDevice, watchDevice } from './watched-device.js';

interface Served {
  readonly disk: TrackedDisk;
  readonly watched: WatchedDevice;
  readonly counters: ReturnType<typeof sharedCounters>;
  readonly handles: readonly FileHandle[];
  readonly connections: Map<number, Connection>;
}

const port = present(parentPort, 'a data thread has a parent');
const log = pinoLog(process.env['HAST_LOG_LEVEL'] ?? 'info');
const files = nodeFiles(reserveSpace);
const served = new Map<string, Served>();
const waiter = atomicsWaiter(nextTurn);
/** Of all volumes here: they lie on one device (H19). */
let share: PoolShare | null = null;

const owner = connectThreads<DataThread, DataThreadOwner>(
  port,
  { ping, open, connect, close },
  (error) => {
    log.error('a data thread has a bug', { error: describeError(error) });
    throw error;
  },
);

/** H19: silent while a disk keeps what it was asked for. */
async function ping(): Promise<void> {
  await Promise.all([...served.values()].map(({ watched }) => watched.answers()));
}

async function open(volume: ServedVolume, thread: number, poolMax: number): Promise<void> {
  const { name, memory, disk, intentPath, spillPaths, targets } = volume;
  share ??= poolShare(poolMax);
  const file = openFileDevice(disk.fd, disk.path, disk.kind, disk.sizeBytes, {
    ownsFd: false,
    poolShare: share,
    syncsInThread: true,
    syncMemory: disk.syncMemory,
  });
  const watched = watchDevice(file, systemClock);
  const { device } = watched;
  const intent = await files.open(intentPath, 'write');
  const spills = await Promise.all(spillPaths.map((path) => files.open(path, 'write')));
  const counters = sharedCounters(memory, thread);
  const tracked = new TrackedDisk(new Core(memory, thread), {
    device,
    spills: spills.map((handle) => fileSpill(handle)),
    writeIntent: intentWriter(intent),
    flushIntent: () => intent.sync(),
    waiter,
    nowMs: () => systemClock.monotonicMs(),
    counters,
    onTrouble: (what, error) => tell(name, what, error),
    repair: (chunk, mask) => owner.call('repair', name, chunk, mask),
    targets,
  });
  served.set(name, {
    disk: tracked,
    watched,
    counters,
    handles: [intent, ...spills],
    connections: new Map(),
  });
}

/** Only told: what a guest wrote goes on whatever becomes of it (W4). */
function tell(name: string, what: Trouble, error: unknown): void {
  const why = describeError(error);
  owner.call('trouble', name, what, why).catch((failure: unknown) => {
    log.error('trouble could not be told', { resource: name, what, why, error: String(failure) });
  });
}

async function connect(
  name: string,
  id: number,
  fd: number,
  leftover: Uint8Array,
  agreement: Agreement,
): Promise<void> {
  const volume = present(served.get(name), 'control connects only to open volumes');
  const connection = serveTransmission({
    fd,
    leftover,
    agreement,
    disk: volume.disk,
    counters: volume.counters,
    log: log.child({ resource: name }),
    onClose: (reason) => {
      volume.connections.delete(id);
      log.info('NBD client gone', { resource: name, reason });
      void owner.call('ended', id);
    },
  });
  volume.connections.set(id, connection);
}

async function close(name: string): Promise<void> {
  const volume = served.get(name);
  if (volume === undefined) return;
  served.delete(name);
  await Promise.all([...volume.connections.values()].map((connection) => connection.close()));
  for (const handle of volume.handles) await handle.close();
  await volume.watched.device.close();
}
