// `node nbd-plain.js IMAGE SOCKET`: hast's NBD server on a raw file with nothing tracked, so that
// the price of tracking can be told: the same listener, the same transmission code on the same
// number of threads, the same device; only gate, marks and frozen tests are missing. A measure, not
// a product. Ends with SIGTERM.
import { openSync, statSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type HandedConnection, listenNbd } from '../src/nbd/listener.js';

/** `data-threads` of hast.conf(5), its default. */
const THREADS = 2;

const [image = '', socket = ''] = process.argv.slice(2);
const { size: sizeBytes } = statSync(image);
const fd = openSync(image, 'r+');
const threads = Array.from(
  { length: THREADS },
  () =>
    new Worker(new URL('./nbd-plain-thread.js', import.meta.url), {
      workerData: { fd, image, sizeBytes },
    }),
);
let next = 0;

/** Everything of a connection but the callback, whatever negotiation has found out. */
function handOver({ done, ...facts }: HandedConnection): void {
  const thread = threads[next];
  next = (next + 1) % threads.length;
  thread?.postMessage(facts);
  // Nobody limits the connections of a benchmark: the count may fall at once.
  done();
}

await listenNbd(
  { address: { kind: 'unix', path: socket } },
  { exports: () => [{ name: '', sizeBytes, readOnly: false, contexts: [] }], handOver },
);
