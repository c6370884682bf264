// The object store of a simulated run, for all its nodes and for people outside: requests take
// time, fail before or after they were done, in bursts, or fail and are done a moment later. One
// that has left a process arrives even when that process dies meanwhile. An archive may be given
// another url: each has objects of its own. Times are milliseconds of the run.
import { type Random, seededRandom } from '../../src/base/random.js';
import type { Stores } from '../../src/daemon/machinery.js';
import type { Secret } from '../../src/format/archive-identity.js';
import type { PutHow, StoreRequest } from '../../src/store/store.js';
import { type MemoryObjects, MemoryStore, type StoreWeather } from '../store/memory-store.js';
import type { Life, Loop } from './loop.js';
import type { ArchiveSetup } from './setup.js';

const KEY: Secret = { kind: 'key', bytes: seededRandom(2).bytes(32) };
/** One request in so many takes time. */
const SLOW_ONE_IN = 2;
const LATE_MS_MAX = 3000;
/** In a storm one request in so many fails; of what commits a round so many at least, but where no
 * request fails beside the bursts. */
const STORM_ONE_IN = 3;
const COMMIT_ONE_IN = 8;

/** 'lost answers': what is asked is done, and nobody hears of it. */
export type StoreTrouble = 'outage' | 'storm' | 'lost answers';

/** Who asks: a node, or a person beside them. */
export interface Asker {
  readonly name: string;
  readonly life: Life;
}

export interface Asked {
  readonly by: Asker;
  readonly request: StoreRequest;
  readonly key: string;
}

type Fails = ReturnType<NonNullable<StoreWeather['fails']>>;

export class Bucket {
  readonly setup: ArchiveSetup;
  readonly #loop: Loop;
  readonly #random: Random;
  readonly #urls = new Map<string, MemoryObjects>();
  #trouble: { readonly what: StoreTrouble; readonly untilMs: number } | null = null;
  #calm = false;
  /** Keys of what was done after whoever asked for it had heard that it failed, or was dead. */
  readonly late = new Set<string>();
  /** Of all nodes: what they asked for, by kind of request. */
  readonly asked: Record<StoreRequest, number> = { put: 0, get: 0, head: 0, list: 0, remove: 0 };
  /** Of the puts, those of packs. */
  askedPacks = 0;
  /** A request of a node sets out. */
  onAsked: (asked: Asked) => void = () => {};
  /** An object was put or removed. */
  onChanged: (request: StoreRequest, key: string, objects: MemoryObjects) => void = () => {};

  constructor(setup: ArchiveSetup, loop: Loop, random: Random) {
    this.setup = setup;
    this.#loop = loop;
    this.#random = random;
  }

  objectsOf(url: string): MemoryObjects {
    const found = this.#urls.get(url) ?? new Map();
    this.#urls.set(url, found);
    return found;
  }

  get secret(): Secret | null {
    return this.setup.sealed ? KEY : null;
  }

  trouble(what: StoreTrouble, ms: number): void {
    this.#trouble = { what, untilMs: this.#loop.nowMs + ms };
  }

  /** No request fails from now on. */
  heal(): void {
    this.#trouble = null;
    this.#calm = true;
  }

  /** The bucket as a life sees it. */
  storesOf(by: Asker): Stores {
    const open: Stores['open'] = async ({ url, pace }) =>
      new PacedStore(this.objectsOf(url), this.#weather(by, this.objectsOf(url)), url, pace);
    return { open, secret: async () => KEY, packBytes: this.setup.packBytes };
  }

  /** Somebody beside the nodes, in the same weather. */
  outside(url: string, life: Life): MemoryStore {
    const objects = this.objectsOf(url);
    return new MemoryStore(objects, this.#weather({ name: 'outside', life }, objects), url);
  }

  /** What is there now, aside: nothing takes time or fails, and nothing here changes. */
  copy(): Stores {
    const copies = new Map<string, MemoryObjects>();
    for (const [url, objects] of this.#urls) copies.set(url, new Map(objects));
    const open: Stores['open'] = async ({ url }) =>
      new MemoryStore(copies.get(url) ?? new Map(), {}, url);
    return { open, secret: async () => KEY, packBytes: this.setup.packBytes };
  }

  /** For a look: as `copy`, of one url. */
  look(url: string): MemoryStore {
    return new MemoryStore(new Map(this.objectsOf(url)), {}, url);
  }

  #weather(by: Asker, objects: MemoryObjects): StoreWeather {
    const isNode = by.name !== 'outside';
    const changed = (request: StoreRequest, key: string, isLate: boolean): void => {
      if (request !== 'put' && request !== 'remove') return;
      if (isLate) this.late.add(key);
      this.onChanged(request, key, objects);
    };
    return {
      turn: () => this.#pass(null),
      answer: () => this.#pass(by.life),
      fails: (request, key) => {
        if (isNode) this.asked[request] += 1;
        if (isNode && request === 'put' && key.startsWith('packs/')) this.askedPacks += 1;
        if (isNode && !by.life.ended) this.onAsked({ by, request, key });
        return this.#fails(request, key);
      },
      later: (request, key, work) => {
        this.#loop.at((this.#random.below(1000) / 1000) * LATE_MS_MAX, null, () => {
          work();
          changed(request, key, true);
        });
      },
      done: (request, key) => changed(request, key, by.life.ended),
      wallMs: () => this.#loop.nowMs,
    };
  }

  /** On the way; an answer to a life that has ended never comes. */
  #pass(life: Life | null): Promise<void> {
    if (life?.ended === true) return new Promise(() => {});
    if (this.#random.below(SLOW_ONE_IN) > 0) return Promise.resolve();
    return this.#loop.later((this.#random.below(1000) / 1000) * this.setup.requestMsMax, life);
  }

  #fails(request: StoreRequest, key: string): Fails {
    if (this.#calm) return null;
    const trouble = this.#trouble;
    const changes = request === 'put' || request === 'remove';
    if (trouble !== null && this.#loop.nowMs < trouble.untilMs) {
      if (trouble.what === 'outage') return 'before';
      if (trouble.what === 'lost answers') return changes ? 'after' : 'before';
      if (this.#random.below(STORM_ONE_IN) > 0) return null;
    } else {
      const { failsOneIn } = this.setup;
      const isCommit = request === 'put' && key.startsWith('points/');
      const oneIn = isCommit ? Math.min(failsOneIn, COMMIT_ONE_IN) : failsOneIn;
      if (oneIn === 0 || this.#random.below(oneIn) > 0) return null;
    }
    const hows = ['before', 'after', changes ? 'late' : 'before'] as const;
    return hows[this.#random.below(hows.length)] ?? null;
  }
}

/** As the real ones: what leaves waits until it may (`rate`). */
class PacedStore extends MemoryStore {
  readonly #pace: ((bytes: number) => Promise<void>) | null;

  constructor(
    objects: MemoryObjects,
    weather: StoreWeather,
    url: string,
    pace: ((bytes: number) => Promise<void>) | null,
  ) {
    super(objects, weather, url);
    this.#pace = pace;
  }

  override async put(key: string, bytes: Uint8Array, how: PutHow): Promise<'stored' | 'exists'> {
    const copy = bytes.slice();
    await this.#pace?.(copy.length);
    return super.put(key, copy, how);
  }
}
