// Objects in memory, with the semantics of store.ts and nothing else; what the simulator and unit
// tests use. `turn`: how long a request takes. `fails`: asked before each request.
import {
  checkKey,
  newStoreCounts,
  type ObjectFacts,
  type ObjectStore,
  type PutHow,
  StoreError,
  type StoreRequest,
} from '../../src/store/store.js';

export interface StoreWeather {
  readonly turn?: () => Promise<void>;
  /** How long the answer takes, also that it failed; default: `turn`. */
  readonly answer?: () => Promise<void>;
  /** 'before': it fails and nothing is done; 'after': it is done and the answer is lost; 'late': it
   * fails, and is done when `later` does it. */
  readonly fails?: (request: StoreRequest, key: string) => 'before' | 'after' | 'late' | null;
  readonly later?: (request: StoreRequest, key: string, work: () => void) => void;
  /** It is done now. */
  readonly done?: (request: StoreRequest, key: string) => void;
  readonly wallMs?: () => number;
}

/** Content of a bucket; it outlives the stores opened on it. */
export type MemoryObjects = Map<string, { readonly bytes: Uint8Array; readonly timeMs: number }>;

export class MemoryStore implements ObjectStore {
  readonly url: string;
  readonly putsAtOnce = 2;
  readonly counts = newStoreCounts();
  readonly objects: MemoryObjects;
  readonly #weather: StoreWeather;

  constructor(
    objects: MemoryObjects = new Map(),
    weather: StoreWeather = {},
    url = 'memory://bucket',
  ) {
    this.objects = objects;
    this.url = url;
    this.#weather = weather;
  }

  put(key: string, bytes: Uint8Array, how: PutHow): Promise<'stored' | 'exists'> {
    const copy = new Uint8Array(bytes); // of a Buffer, slice would be a view
    this.counts.upBytes += bytes.length;
    return this.#request('put', key, () => {
      if (how === 'create' && this.objects.has(key)) return 'exists';
      this.objects.set(key, { bytes: copy, timeMs: this.#weather.wallMs?.() ?? 0 });
      return 'stored';
    });
  }

  read(key: string, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    return this.#request('get', key, () => {
      const found = this.objects.get(key);
      if (found === undefined) throw new StoreError({ code: 'STORE_MISSING', url: this.url, key });
      const bytes = found.bytes.slice(offset, offset + length);
      this.counts.downBytes += bytes.length;
      into?.set(bytes);
      if (bytes.length === length) return into?.subarray(0, length) ?? bytes;
      const [wanted, got] = [length, bytes.length];
      throw new StoreError({ code: 'STORE_SHORT', url: this.url, key, offset, wanted, got });
    });
  }

  readWhole(key: string, bytesMax: number): Promise<Uint8Array | null> {
    return this.#request('get', key, () => {
      const bytes = this.objects.get(key)?.bytes ?? null;
      if (bytes !== null && bytes.length > bytesMax) {
        const facts = { url: this.url, key, bytes: bytes.length, bytesMax };
        throw new StoreError({ code: 'STORE_TOO_LARGE', ...facts });
      }
      this.counts.downBytes += bytes?.length ?? 0;
      return bytes?.slice() ?? null;
    });
  }

  head(key: string): Promise<ObjectFacts | null> {
    return this.#request('head', key, () => this.#facts(key));
  }

  async *list(prefix: string): AsyncIterable<ObjectFacts> {
    const keys = await this.#request('list', prefix || '-', () =>
      [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort(),
    );
    for (const key of keys) {
      const facts = this.#facts(key);
      if (facts !== null) yield facts;
    }
  }

  async remove(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      await this.#request('remove', key, () => void this.objects.delete(key));
    }
  }

  async close(): Promise<void> {}

  #facts(key: string): ObjectFacts | null {
    const found = this.objects.get(key);
    if (found === undefined) return null;
    return { key, bytes: found.bytes.length, timeMs: found.timeMs, storageClass: null };
  }

  async #request<T>(operation: StoreRequest, key: string, work: () => T): Promise<T> {
    if (operation !== 'list') checkKey(key);
    this.counts[operation] += 1;
    const { turn, answer = turn, fails, later, done } = this.#weather;
    await turn?.();
    const how = fails?.(operation, key) ?? null;
    try {
      if (how === 'late') later?.(operation, key, work);
      if (how === 'before' || how === 'late') throw lost(this.url, operation, key);
      const result = work();
      done?.(operation, key);
      if (how === 'after') throw lost(this.url, operation, key);
      return result;
    } finally {
      await answer?.();
    }
  }
}

function lost(url: string, operation: string, key: string) {
  return new StoreError({ code: 'STORE_UNREACHABLE', url, operation, key, text: 'bad weather' });
}
