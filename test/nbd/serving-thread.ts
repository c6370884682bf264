// A data thread in small, for threads.test.ts: serves the connections it is sent from one disk.
import { parentPort } from 'node:worker_threads';
import { present } from '../../src/base/assert.js';
import { serveTransmission } from '../../src/nbd/transmission.js';
import { MemoryDisk } from './memory-disk.js';

const port = present(parentPort, 'this runs in a worker');
const disk = new MemoryDisk(1024 * 1024);

port.on('message', ({ fd, leftover }: { fd: number; leftover: Uint8Array }) => {
  serveTransmission({ fd, leftover, disk, onClose: (reason) => port.postMessage(reason) });
});
