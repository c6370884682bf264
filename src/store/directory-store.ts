// Objects as files of a directory: a mounted disk, a share. Guarantees of store.ts, also through a
// power failure: an object is written beside, synced, linked or renamed to its name, and the
// directories are synced. 'create' is link(2), which makes a name once; a file system without links
// (FAT) looks first and renames then, so that only one program may write there.
// The directory itself is never created: it may be the place of a disk that is not mounted.
// What a crash leaves are files of `.unfinished`, which nobody reads; old ones are removed.
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../base/errors.js';
import {
  DIRECTORY_MODE,
  isThere,
  linkOnce,
  makeDurably,
  readRange,
  sizeOf,
  syncDirectory,
  unlessMissing,
  writeSynced,
} from './durable-files.js';
import {
  checkKey,
  newStoreCounts,
  type ObjectFacts,
  type ObjectStore,
  type PutHow,
  type StoreCounts,
  StoreError,
} from './store.js';

const TEMPORARY = '.unfinished';
const TEMPORARY_AGE_MS_MAX = 24 * 3600_000;
/** An empty directory may be removed by another `remove` before its use. */
const TRIES_MAX = 5;
const FOR_NOW = new Set(['EAGAIN', 'EBUSY', 'EINTR', 'EMFILE', 'ENFILE', 'ENOSPC', 'EDQUOT']);

/** Error STORE_NO_BUCKET when it is not there. `nowMs`: by the wall clock. */
export async function openDirectoryStore(path: string, nowMs: number): Promise<ObjectStore> {
  const store = new DirectoryStore(path);
  await store.begin(nowMs);
  return store;
}

/** Makes `path`, one step below `base`, which must be there. Error STORE_NO_BUCKET. */
export async function makeBelow(base: string, path: string): Promise<void> {
  try {
    await mkdir(path, { mode: DIRECTORY_MODE });
    await syncDirectory(base);
  } catch (cause) {
    const text = codeOf(cause) ?? 'cannot be made';
    const url = `file://${base}`;
    if (text !== 'EEXIST') throw new StoreError({ code: 'STORE_NO_BUCKET', url, text }, { cause });
  }
}

class DirectoryStore implements ObjectStore {
  readonly url: string;
  readonly putsAtOnce = 1;
  readonly counts: StoreCounts = newStoreCounts();
  readonly #path: string;
  readonly #durable = new Map<string, Promise<void>>();

  constructor(path: string) {
    this.#path = path;
    this.url = `file://${path}`;
  }

  async begin(nowMs: number): Promise<void> {
    const found = await stat(this.#path).catch((error: unknown) => error);
    if (found instanceof Error || !(found as { isDirectory(): boolean }).isDirectory()) {
      const text = found instanceof Error ? (codeOf(found) ?? 'not there') : 'not a directory';
      throw new StoreError({ code: 'STORE_NO_BUCKET', url: this.url, text });
    }
    const place = join(this.#path, TEMPORARY);
    for (const name of await readdir(place).catch(() => [])) {
      const path = join(place, name);
      const facts = await stat(path).catch(() => null);
      if (facts !== null && nowMs - facts.mtimeMs > TEMPORARY_AGE_MS_MAX) {
        await unlink(path).catch(() => undefined);
      }
    }
  }

  async put(key: string, bytes: Uint8Array, how: PutHow): Promise<'stored' | 'exists'> {
    checkKey(key);
    this.counts.put += 1;
    this.counts.upBytes += bytes.length;
    return this.#step('put', key, async () => {
      const path = join(this.#path, key);
      if (how === 'create' && (await isThere(path))) return await this.#exists(path);
      const temporary = join(this.#path, TEMPORARY, randomUUID());
      await this.#directory(dirname(temporary));
      await writeSynced(temporary, bytes);
      try {
        return await this.#name(temporary, path, how);
      } finally {
        await unlink(temporary).catch(() => undefined);
      }
    });
  }

  async read(key: string, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    checkKey(key);
    this.counts.get += 1;
    const bytes = await this.#step('get', key, () =>
      readRange(join(this.#path, key), offset, length, into),
    );
    if (bytes === null) throw new StoreError({ code: 'STORE_MISSING', url: this.url, key });
    this.counts.downBytes += bytes.length;
    if (bytes.length === length) return bytes;
    const [wanted, got] = [length, bytes.length];
    throw new StoreError({ code: 'STORE_SHORT', url: this.url, key, offset, wanted, got });
  }

  async readWhole(key: string, bytesMax: number): Promise<Uint8Array | null> {
    checkKey(key);
    this.counts.get += 1;
    const size = await this.#step('get', key, () => sizeOf(join(this.#path, key)));
    if (size === null) return null;
    if (size > bytesMax) {
      const facts = { url: this.url, key, bytes: size, bytesMax };
      throw new StoreError({ code: 'STORE_TOO_LARGE', ...facts });
    }
    const bytes = await this.#step('get', key, () => readRange(join(this.#path, key), 0, size));
    this.counts.downBytes += bytes?.length ?? 0;
    return bytes;
  }

  async head(key: string): Promise<ObjectFacts | null> {
    checkKey(key);
    this.counts.head += 1;
    return this.#step('head', key, () => factsOf(join(this.#path, key), key));
  }

  async *list(prefix: string): AsyncIterable<ObjectFacts> {
    this.counts.list += 1;
    yield* this.#under('', prefix);
  }

  async remove(keys: readonly string[]): Promise<void> {
    const changed = new Map<string, string>();
    for (const key of keys) {
      checkKey(key);
      this.counts.remove += 1;
      await this.#step('remove', key, async () => {
        await unlink(join(this.#path, key)).catch(unlessMissing);
        let up = dirname(key);
        for (; up !== '.'; up = dirname(up)) {
          // Not empty, or another one was faster.
          if (!(await rmdir(join(this.#path, up)).then(always, never))) break;
          this.#durable.delete(join(this.#path, up));
        }
        changed.set(up, key);
      });
    }
    // What is removed after it must not be gone when this comes back after a power failure.
    for (const [folder, key] of changed) {
      await this.#step('remove', key, async () => {
        await syncDirectory(join(this.#path, folder)).catch(unlessMissing);
      });
    }
  }

  async close(): Promise<void> {}

  async *#under(folder: string, prefix: string): AsyncIterable<ObjectFacts> {
    const place = join(this.#path, folder);
    const names = await this.#step('list', folder || '.', () =>
      readdir(place).catch(unlessMissing),
    );
    const entries: { key: string; isFolder: boolean }[] = [];
    for (const name of names ?? []) {
      const key = folder === '' ? name : `${folder}/${name}`;
      if (name === TEMPORARY || !(key.startsWith(prefix) || prefix.startsWith(`${key}/`))) continue;
      const facts = await stat(join(this.#path, key)).catch(() => null);
      if (facts !== null) entries.push({ key, isFolder: facts.isDirectory() });
    }
    // As S3 orders keys: `a-b` before `a/c`.
    const order = ({ key, isFolder }: { key: string; isFolder: boolean }): string =>
      isFolder ? `${key}/` : key;
    entries.sort((one, other) => (order(one) < order(other) ? -1 : 1));
    for (const { key, isFolder } of entries) {
      if (isFolder) yield* this.#under(key, prefix);
      else {
        const facts = await factsOf(join(this.#path, key), key);
        if (facts !== null && key.startsWith(prefix)) yield facts;
      }
    }
  }

  /** Gives a synced file its name, durably. */
  async #name(temporary: string, path: string, how: PutHow): Promise<'stored' | 'exists'> {
    for (let tries = 1; ; tries += 1) {
      await this.#directory(dirname(path));
      try {
        if (how === 'create') {
          if (!(await linkOnce(temporary, path))) return await this.#exists(path);
        } else await rename(temporary, path);
        await syncDirectory(dirname(path));
        return 'stored';
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' || tries === TRIES_MAX) throw error;
      }
    }
  }

  /** Who made it may not have come to sync its name, or have failed to. */
  async #exists(path: string): Promise<'exists'> {
    await syncDirectory(dirname(path));
    return 'exists';
  }

  /** Makes a directory below the top one, durably: whoever made it, its name is synced before
   * anything in it is answered for. */
  async #directory(path: string): Promise<void> {
    if (path === this.#path) return;
    await this.#directory(dirname(path));
    let made = this.#durable.get(path);
    if (made === undefined || !(await isThere(path))) {
      made = makeDurably(path);
      this.#durable.set(path, made);
      made.catch(() => this.#durable.delete(path));
    }
    await made;
  }

  async #step<T>(operation: string, key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      const errno = codeOf(cause) ?? 'EIO';
      const facts = { url: this.url, operation, key, text: errno };
      if (errno === 'EACCES' || errno === 'EROFS' || errno === 'EPERM') {
        throw new StoreError({ code: 'STORE_DENIED', ...facts }, { cause });
      }
      const code = FOR_NOW.has(errno) ? 'STORE_UNREACHABLE' : 'STORE_FAILED';
      throw new StoreError({ code, ...facts }, { cause });
    }
  }
}

const always = (): boolean => true;
const never = (): boolean => false;

async function factsOf(path: string, key: string): Promise<ObjectFacts | null> {
  const facts = await stat(path).catch(unlessMissing);
  if (!facts?.isFile()) return null;
  return { key, bytes: facts.size, timeMs: Math.floor(facts.mtimeMs), storageClass: null };
}
