// Data threads of the process, from control's side: N per device, shared only by resources on that
// device (H19), so that a dying disk holds no neighbour. A connection goes to one of them round
// robin. The death of a data thread ends the process: a gate would wait for ever.
import { Worker } from 'node:worker_threads';
import { assert, present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { HandedConnection } from '../nbd/listener.js';
import { HangWatch } from './hang-watch.js';
import { connectThreads, type Peer } from './thread-calls.js';
import type { DataThread, DataThreadOwner, ServedVolume } from './thread-messages.js';

/** Pool operations of one device at once, over all its data threads (H19). */
const POOL_OPERATIONS_PER_DEVICE = 4;

interface Thread {
  readonly worker: Worker;
  readonly peer: Peer<DataThread>;
}

interface Group {
  readonly threads: readonly Thread[];
  next: number;
}

export interface DataThreadsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly fatal: (why: string, error: unknown) => void;
  readonly trouble: DataThreadOwner['trouble'];
  readonly repair: DataThreadOwner['repair'];
}

export class DataThreads {
  readonly #parts: DataThreadsParts;
  readonly #groups = new Map<string, Group>();
  /** Device of each open resource. */
  readonly #devices = new Map<string, string>();
  readonly #ended = new Map<number, () => void>();
  readonly #hangs: HangWatch;
  #connections = 0;
  #stopping = false;

  constructor(parts: DataThreadsParts) {
    this.#parts = parts;
    this.#hangs = new HangWatch(parts);
  }

  /** Wall time since when the disk of an open resource answers nothing; null: it answers (H19). */
  hangsSinceMs(name: string): number | null {
    const device = this.#devices.get(name);
    return device === undefined ? null : this.#hangs.sinceMs(device);
  }

  /** Lets `count` threads of the device serve the volume; the first resource of a device decides
   * how many there are. */
  async open(volume: ServedVolume, device: string, count: number): Promise<void> {
    const group = this.#groups.get(device) ?? this.#start(device, count);
    this.#devices.set(volume.name, device);
    const poolMax = Math.max(1, Math.floor(POOL_OPERATIONS_PER_DEVICE / group.threads.length));
    await Promise.all(
      group.threads.map((thread, index) => thread.peer.call('open', volume, index, poolMax)),
    );
  }

  /** Hands a negotiated connection over; `done` is called once when it has ended. */
  connect(name: string, { fd, leftover, agreement, done }: HandedConnection): void {
    const device = present(this.#devices.get(name), 'only an open resource is exported');
    const group = present(this.#groups.get(device), 'a device has threads');
    const thread = present(group.threads[group.next], 'next is an index');
    group.next = (group.next + 1) % group.threads.length;
    this.#connections += 1;
    const id = this.#connections;
    this.#ended.set(id, done);
    thread.peer.call('connect', name, id, fd, leftover, agreement).catch((error: unknown) => {
      this.#parts.fatal('a data thread did not take a connection', error);
    });
  }

  /** Ends every connection of a resource after what is in flight; nobody writes it any more. */
  async close(name: string): Promise<void> {
    const device = this.#devices.get(name);
    const group = device === undefined ? undefined : this.#groups.get(device);
    this.#devices.delete(name);
    await Promise.all((group?.threads ?? []).map((thread) => thread.peer.call('close', name)));
  }

  async stop(): Promise<void> {
    assert(this.#devices.size === 0, 'every resource is closed first');
    this.#stopping = true;
    await this.#hangs.stop();
    const groups = [...this.#groups.values()];
    await Promise.all(groups.flatMap((group) => group.threads.map((t) => t.worker.terminate())));
  }

  #start(device: string, count: number): Group {
    const threads = Array.from({ length: count }, () => this.#thread());
    const group = { threads, next: 0 };
    this.#groups.set(device, group);
    for (const { peer } of threads) this.#hangs.watch(device, () => peer.call('ping'));
    this.#parts.log.info('data threads started', { device, count });
    return group;
  }

  #thread(): Thread {
    const worker = new Worker(new URL('./data-thread.js', import.meta.url));
    worker.on('error', (error) => this.#parts.fatal('a data thread has died', error));
    worker.on('exit', (status) => {
      if (!this.#stopping) this.#parts.fatal('a data thread has ended', status);
    });
    const mine: DataThreadOwner = {
      ended: async (id) => {
        this.#ended.get(id)?.();
        this.#ended.delete(id);
      },
      trouble: (name, what, text) => this.#parts.trouble(name, what, text),
      repair: (name, chunk, mask) => this.#parts.repair(name, chunk, mask),
    };
    const bug = (error: unknown): void => this.#parts.fatal('control has a bug', error);
    return { worker, peer: connectThreads<DataThreadOwner, DataThread>(worker, mine, bug) };
  }
}
