// Entry of a data thread: serves guests of the volumes of one device (H19). Connections come as fd
// numbers with the bytes already read; writes go straight from the receive buffer to the page
// cache. Nothing here knows targets, rounds or networks (W4).
import { parentPort } from 'node:worker_threads';
import { present } from '../base/assert.js';
import { nextTurn } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { FileHandle } from '../base/files.js';
import { pinoLog } from '../base/log.js';
import { nodeFiles } from '../base/node-files.js';
import { openFileDevice } from '../disk/file-device.js';
import { reserveSpace } from '../disk/syscalls.js';
import { type Connection, serveTransmission } from '../nbd/transmission.js';
import { Core } from '../volume/core.js';
import { intentWriter } from '../volume/intent.js';
import { fileSpill } from '../volume/spill.js';
import { TrackedDisk } from '../volume/tracked-disk.js';
import { atomicsWaiter } from '../volume/waiter.js';
import { sharedCounters } from './counters.js';
import { connectThreads } from './thread-calls.js';
import type { DataThread, DataThreadOwner, ServedVolume } from './thread-messages.js';

interface Served {
  readonly disk: TrackedDisk;
  readonly counters: ReturnType<typeof sharedCounters>;
  readonly handles: readonly FileHandle[];
  readonly connections: Map<number, Connection>;
}

const port = present(parentPort, 'a data thread has a parent');
const log = pinoLog(process.env['HAST_LOG_LEVEL'] ?? 'info');
const files = nodeFiles(reserveSpace);
const served = new Map<string, Served>();
const waiter = atomicsWaiter(nextTurn);

const owner = connectThreads<DataThread, DataThreadOwner>(
  port,
  { open, connect, close },
  (error) => {
    log.error('a data thread has a bug', { error: describeError(error) });
    throw error;
  },
);

async function open(volume: ServedVolume, thread: number, poolMax: number): Promise<void> {
  const { name, memory, disk, intentPath, spillPath } = volume;
  const device = openFileDevice(disk.fd, disk.path, disk.kind, disk.sizeBytes, {
    ownsFd: false,
    poolOperationsMax: poolMax,
  });
  const intent = await files.open(intentPath, 'write');
  const spill = await files.open(spillPath, 'write');
  const tracked = new TrackedDisk(new Core(memory, thread), {
    device,
    spill: fileSpill(spill),
    writeIntent: intentWriter(intent),
    waiter,
    onTrouble: (what, error) => void owner.call('trouble', name, what, describeError(error)),
  });
  served.set(name, {
    disk: tracked,
    counters: sharedCounters(memory, thread),
    handles: [intent, spill],
    connections: new Map(),
  });
}

async function connect(name: string, id: number, fd: number, leftover: Uint8Array): Promise<void> {
  const volume = present(served.get(name), 'control connects only to open volumes');
  const connection = serveTransmission({
    fd,
    leftover,
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
}
