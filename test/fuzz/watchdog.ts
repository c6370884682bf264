// A hang ends the process, and leaves the input behind. The thread that decodes cannot look at a
// clock while it hangs, so another one does: it sees in shared memory which input is being worked
// off, and when that stays the same for too long it writes the input to the corpus, says so, and
// kills the process. So it also ends a wait for what never comes: it keeps the process alive, which
// would otherwise just end, with nothing said. Milliseconds.
import { Worker } from 'node:worker_threads';

const INPUT_BYTES_MAX = 1024 * 1024;
const NAME_BYTES_MAX = 64;
/** Words in front: count of inputs, busy, length of the input, length of the name. */
const HEAD_BYTES = 16;

const THREAD = `
const { workerData: { memory, folder, msMax } } = require('node:worker_threads');
const { writeFileSync, writeSync, mkdirSync } = require('node:fs');
const head = new Int32Array(memory, 0, 4);
const bytes = new Uint8Array(memory);
let seen = -1;
let since = Date.now();
setInterval(() => {
  const count = Atomics.load(head, 0);
  if (count !== seen || Atomics.load(head, 1) === 0) {
    seen = count;
    since = Date.now();
    return;
  }
  if (Date.now() - since < msMax) return;
  const name = Buffer.from(bytes.slice(16, 16 + head[3])).toString();
  const input = bytes.slice(16 + ${NAME_BYTES_MAX}, 16 + ${NAME_BYTES_MAX} + head[2]);
  const file = folder + '/' + name + '/hang-' + Date.now().toString(36);
  try {
    mkdirSync(folder + '/' + name, { recursive: true });
    writeFileSync(file, input);
  } finally {
    writeSync(2, 'fuzz: ' + name + ' hangs for more than ' + msMax + ' ms on ' + file + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }
}, msMax / 10);
`;

export class Watchdog {
  readonly #memory = new SharedArrayBuffer(HEAD_BYTES + NAME_BYTES_MAX + INPUT_BYTES_MAX);
  readonly #head = new Int32Array(this.#memory, 0, 4);
  readonly #bytes = new Uint8Array(this.#memory);
  readonly #worker: Worker;

  /** `folder`: of the corpora, into which a hanging input is written. */
  constructor(folder: string, msMax: number) {
    const workerData = { memory: this.#memory, folder, msMax };
    this.#worker = new Worker(THREAD, { eval: true, workerData });
  }

  /** From now on `input` is worked off. */
  busy(name: string, input: Uint8Array): void {
    const kept = input.subarray(0, INPUT_BYTES_MAX);
    const label = Buffer.from(name).subarray(0, NAME_BYTES_MAX);
    this.#head[2] = kept.length;
    this.#head[3] = label.length;
    this.#bytes.set(label, HEAD_BYTES);
    this.#bytes.set(kept, HEAD_BYTES + NAME_BYTES_MAX);
    Atomics.add(this.#head, 0, 1);
    Atomics.store(this.#head, 1, 1);
  }

  idle(): void {
    Atomics.store(this.#head, 1, 0);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
