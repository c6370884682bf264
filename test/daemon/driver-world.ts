// A driver over a primary and a replica that are both in this process and in memory: the real
// ladders, a clock that jumps, and in place of TCP a link that a test can take away. Nothing here
// decides.
import { silentLog } from '../../src/base/log.js';
import { seededRandom } from '../../src/base/random.js';
import { retainLast } from '../../src/config/retain.js';
import type { TargetSettings } from '../../src/config/settings.js';
import { RoundLog } from '../../src/daemon/round-log.js';
import { TargetCompute } from '../../src/daemon/target-compute.js';
import { TargetDriver } from '../../src/daemon/target-driver.js';
import type { DriverLink, Linked, LinkOptions } from '../../src/daemon/target-link.js';
import { inlineCompute } from '../../src/format/compute.js';
import { packRaw } from '../../src/format/pack.js';
import { contact } from '../../src/round/contact.js';
import { type Target, TargetError } from '../../src/target/target.js';
import { Pair } from '../crash/pair.js';

export const SHAPE = {
  sizeBytes: 4 * 1024 * 1024,
  extentBytes: 2 * 1024 * 1024,
  keepdirty: 4,
  spillBytes: 1024 * 1024,
  retain: 4,
};

export const SETTINGS: TargetSettings = {
  name: 'b',
  remote: 'tcp://127.0.0.1:8457',
  source: null,
  archive: null,
  schedule: { kind: 'interval', seconds: 3600 },
  retain: retainLast(4),
  compression: { codec: 'none' },
  timeoutSeconds: 5,
  rateBitsPerSecond: 1_000_000,
  maxLagSeconds: null,
};

/** As TargetLink, with a session of the pair in place of a dialled one. */
export class PairLink implements DriverLink {
  options: LinkOptions;
  /** Nobody answers. */
  away = false;
  /** What each contact was made for. */
  readonly contacts: boolean[] = [];
  readonly #pair: Pair;
  #target: Target | null = null;
  #running = false;
  #closed = false;

  constructor(pair: Pair) {
    this.#pair = pair;
    const { name: target, remote, source, timeoutSeconds } = SETTINGS;
    this.options = { target, remote, source, timeoutMs: timeoutSeconds * 1000 };
  }

  get up(): boolean {
    return this.#target !== null;
  }

  get current(): Target | null {
    return this.#target;
  }

  readonly downSinceMs = null;
  readonly suspect = false;
  readonly error = null;
  readonly diverged = false;

  async get(): Promise<Linked> {
    if (this.away || this.#closed) {
      throw new TargetError({ code: 'TARGET_LOST', target: 'b', text: 'nobody answers' });
    }
    if (this.#target === null) {
      const target = this.#pair.connect();
      this.contacts.push(this.#running);
      await contact(this.#pair.primaryNode.parts, target, this.#running);
      this.#target = target;
    }
    return { target: this.#target, contact: 'ready' };
  }

  async again(old: Target): Promise<Target> {
    if (this.#target === old) await this.renew();
    return (await this.get()).target;
  }

  hold(): void {
    this.#running = true;
  }

  release(): void {
    this.#running = false;
  }

  async apply(options: LinkOptions): Promise<void> {
    this.options = options;
  }

  async keepUp(): Promise<void> {}

  async renew(): Promise<void> {
    const target = this.#target;
    this.#target = null;
    await target?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.renew();
  }

  /** The session ends, as a broken wire ends it. */
  lose(): void {
    this.#target = null;
    this.#pair.link?.cut();
  }
}

export interface DriverWorld {
  readonly pair: Pair;
  readonly link: PairLink;
  readonly driver: TargetDriver;
  readonly rounds: RoundLog;
}

/** A new disk, nothing replicated yet. */
export async function driverWorld(seed: number): Promise<DriverWorld> {
  const pair = new Pair(SHAPE, seed);
  await pair.startPrimary();
  await pair.startReplica();
  const link = new PairLink(pair);
  const rounds = await RoundLog.open(pair.senderWorld, '/state/vm1/rounds.jsonl');
  const compute = inlineCompute(packRaw);
  const pool = { for: () => compute, close: async () => undefined };
  const parts = {
    round: pair.primaryNode.parts,
    link,
    rounds,
    compute: new TargetCompute(pool, SETTINGS.compression),
    guestBytes: () => 0,
    clock: pair.clock,
    random: seededRandom(seed),
    log: silentLog,
  };
  return { pair, link, rounds, driver: new TargetDriver(parts, SETTINGS, false) };
}

/** New content for every chunk: `seed` makes it differ from any other. */
export async function overwrite({ pair }: DriverWorld, seed: number): Promise<void> {
  const { disk } = pair.primaryNode;
  const random = seededRandom(seed);
  for (let offset = 0; offset < disk.sizeBytes; offset += 65_536) {
    await disk.write(offset, Buffer.alloc(65_536, random.bytes(32)));
  }
}
