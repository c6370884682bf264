// A data thread in small, for threads.test.ts: serves the connections it is sent from one disk.
import { parentPort } from 'node:worker_threads';
import { present } from '../../src/base/assert.js';
import type { Agreement } from '../../src/nbd/protocol.js';
import { serveTransmission } from '../../src/nbd/transmission.js';
import { MemoryDisk } from './memory-disk.js';

const port = present(parentPort, 'this runs in a worker');
const disk = new MemoryDisk(1024 * 1024);

interface Handed {
  readonly fd: number;
  readonly leftover: Uint8Array;
  readonly agreement: Agreement;
}

port.on('message', ({ fd, leftover, agreement }: Handed) => {
  const onClose = (reason: string): void => port.postMessage(reason);
  serveTransmission({ fd, leftover, agreement, disk, onClose });
});
