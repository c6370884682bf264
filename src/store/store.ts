// ObjectStore: named objects that are written whole and never changed in part; a directory or an S3
// bucket. One contract suite for all of them (test/store/store-contract.ts).
//
// Guarantees of any implementation: an object that `put` has answered is durable and read back at
// once, whole; nobody ever reads a part of one. `put` with 'create' makes the object only where
// there is none, also when several writers try it at the same moment (where the store can do that
// at all: probe.ts). A put that fails may have made the object all the same, now or a moment later:
// whoever must know reads it back (H35). Nothing lists but `list`.
//
// Keys are 1..KEY_BYTES_MAX characters of a-z A-Z 0-9 . _ - and /, with no empty part and none
// that begins with a dot. Offsets and lengths are bytes, times milliseconds of the store's clock.
import { assert } from '../base/assert.js';
import { errorClass } from '../base/errors.js';

export type StoreFault =
  | { code: 'STORE_URL'; url: string; why: string }
  | { code: 'STORE_MISSING'; url: string; key: string }
  | { code: 'STORE_NO_BUCKET'; url: string; text: string }
  | { code: 'STORE_SHORT'; url: string; key: string; offset: number; wanted: number; got: number }
  | { code: 'STORE_TOO_LARGE'; url: string; key: string; bytes: number; bytesMax: number }
  | { code: 'STORE_DENIED'; url: string; operation: string; key: string; text: string }
  | { code: 'STORE_UNREACHABLE'; url: string; operation: string; key: string; text: string }
  | { code: 'STORE_FAILED'; url: string; operation: string; key: string; text: string };

export const StoreError = errorClass<StoreFault>('StoreError', {
  STORE_URL: (f) => `${f.url} is no archive: ${f.why}`,
  STORE_MISSING: (f) => `${f.url}: there is no object ${f.key}`,
  STORE_NO_BUCKET: (f) =>
    `${f.url}: there is no such bucket or directory (${f.text}); create it, or mount it, first`,
  STORE_SHORT: (f) =>
    `${f.url}: ${f.key}: wanted ${f.wanted} bytes at ${f.offset}, the object has ${f.got} of them`,
  STORE_TOO_LARGE: (f) =>
    `${f.url}: ${f.key}: ${f.bytes} bytes are more than the ${f.bytesMax} allowed`,
  STORE_DENIED: (f) => `${f.url}: ${f.operation} of ${f.key} is denied: ${f.text}`,
  STORE_UNREACHABLE: (f) => `${f.url}: ${f.operation} of ${f.key} failed for now: ${f.text}`,
  STORE_FAILED: (f) => `${f.url}: ${f.operation} of ${f.key} failed: ${f.text}`,
});

/** May be tried again later without anybody's help. */
export const isStoreTransient = (fault: StoreFault): boolean => fault.code === 'STORE_UNREACHABLE';

export type StoreRequest = 'put' | 'get' | 'head' | 'list' | 'remove';

/** Requests as the store bills them: a repeated one counts again. Bytes are those of bodies. */
export type StoreCounts = Record<StoreRequest, number> & { upBytes: number; downBytes: number };

export const newStoreCounts = (): StoreCounts => ({
  put: 0,
  get: 0,
  head: 0,
  list: 0,
  remove: 0,
  upBytes: 0,
  downBytes: 0,
});

export interface ObjectFacts {
  readonly key: string;
  readonly bytes: number;
  readonly timeMs: number;
  /** As the store names it; null: it has none. */
  readonly storageClass: string | null;
}

/** 'create': only where there is no such object; 'replace': whatever there is. */
export type PutHow = 'create' | 'replace';

export interface ObjectStore {
  /** As people write it, without secrets. */
  readonly url: string;
  readonly counts: Readonly<StoreCounts>;
  /** Large objects worth putting at the same time: one where no link and no answer is waited for,
   * since each is memory. */
  readonly putsAtOnce: number;
  /** 'exists' only with 'create': there is such an object, perhaps made by an attempt of this very
   * call whose answer was lost. Errors STORE_DENIED, STORE_UNREACHABLE, STORE_FAILED, of all. */
  put(
    key: string,
    bytes: Uint8Array,
    how: PutHow,
    storageClass?: string,
  ): Promise<'stored' | 'exists'>;
  /** Exactly that range; at least one byte. The result lies at the start of `into`, which may be
   * shared and is at least as long; after an error something may still be written there. Errors
   * STORE_MISSING, STORE_SHORT. */
  read(key: string, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** The whole object, null when there is none. Error STORE_TOO_LARGE above `bytesMax`. */
  readWhole(key: string, bytesMax: number): Promise<Uint8Array | null>;
  head(key: string): Promise<ObjectFacts | null>;
  /** Every object whose key begins with `prefix`, ascending. No part of a round or a restore. */
  list(prefix: string): AsyncIterable<ObjectFacts>;
  /** None of these is there any more; those that were not are no error. */
  remove(keys: readonly string[]): Promise<void>;
  /** Can be called twice. */
  close(): Promise<void>;
}

export const KEY_BYTES_MAX = 512;

const PART = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;

export const isKey = (key: string): boolean =>
  key.length <= KEY_BYTES_MAX && key.split('/').every((part) => PART.test(part));

/** Keys are made by this program. */
export function checkKey(key: string): void {
  assert(isKey(key), 'a key has letters, digits and . _ - /');
}
