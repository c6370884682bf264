// Objects in an S3 bucket (AWS, Ceph RGW, and what speaks the same), below a prefix. Guarantees of
// store.ts where the server keeps them; what a server really honours says probe.ts. The SDK is
// loaded when the first store is opened. Its standard retries answer SlowDown, 5xx and lost
// connections; a body that breaks off in the middle is asked for again here.
// Differences of servers that this file knows (others are refused by probe.ts):
// - 409 for a conditional PUT: two at the same time; asked again.
// - 500 for a lost race (RGW): repeated by the SDK, then 412.
import { setMaxListeners } from 'node:events';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { assert, present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { type Body, joinedIn, received } from './s3-body.js';
import { type RequestFacts, s3Fault, statusOf } from './s3-fault.js';
import type { Pace } from './s3-handler.js';
import {
  checkKey,
  isStoreTransient,
  newStoreCounts,
  type ObjectFacts,
  type ObjectStore,
  type PutHow,
  type StoreCounts,
  StoreError,
} from './store.js';
import type { StoreUrl } from './url.js';

export interface S3Options {
  readonly url: StoreUrl & { readonly kind: 's3' };
  /** Null: AWS. */
  readonly endpoint: string | null;
  /** Null: of the usual AWS places, else REGION_DEFAULT. */
  readonly region: string | null;
  /** 'supported': the SDK adds and checks CRC32 where it can; 'required': only where it must, for
   * servers that do not know them. */
  readonly checksums: 'supported' | 'required';
  readonly pace: Pace | null;
  /** Null: of the usual AWS places. Tests hand them in. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string } | null;
}

export const REGION_DEFAULT = 'us-east-1';
const ATTEMPTS_MAX = 6;
/** Of what the SDK does not repeat: a body that breaks off, a 409. */
const TRIES_MAX = 4;
const TRY_AGAIN_MS = 200;
const REMOVE_KEYS_MAX = 1000;

type Sdk = typeof import('@aws-sdk/client-s3');

export async function openS3Store(options: S3Options, clock: Clock): Promise<ObjectStore> {
  // Its words about Node's version are for us, who pin it, and not for an operator.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  const [sdk, { CountingHandler }] = await Promise.all([
    import('@aws-sdk/client-s3'),
    import('./s3-handler.js'),
  ]);
  const { endpoint, region, checksums, credentials = null } = options;
  const counts = newStoreCounts();
  const when = checksums === 'required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
  const config: S3ClientConfig = {
    maxAttempts: ATTEMPTS_MAX,
    retryMode: 'standard',
    requestChecksumCalculation: when,
    // Every byte is checked against digests of our own.
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: new CountingHandler(counts, options.pace),
    ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
    ...(region === null ? {} : { region }),
    ...(region === null && endpoint !== null ? { region: REGION_DEFAULT } : {}),
    ...(credentials === null ? {} : { credentials }),
  };
  return new S3Store(sdk, new sdk.S3Client(config), options.url, counts, clock);
}

class S3Store implements ObjectStore {
  readonly url: string;
  readonly putsAtOnce = 2;
  readonly counts: StoreCounts;
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #stop = new AbortController();

  constructor(
    sdk: Sdk,
    client: S3Client,
    place: StoreUrl & { readonly kind: 's3' },
    counts: StoreCounts,
    clock: Clock,
  ) {
    this.#sdk = sdk;
    this.#client = client;
    this.url = place.url;
    this.#bucket = place.bucket;
    this.#prefix = place.prefix === '' ? '' : `${place.prefix}/`;
    this.counts = counts;
    this.#clock = clock;
    // As many requests as there are listen to it.
    setMaxListeners(0, this.#stop.signal);
  }

  put(
    key: string,
    bytes: Uint8Array,
    how: PutHow,
    storageClass?: string,
  ): Promise<'stored' | 'exists'> {
    const { PutObjectCommand } = this.#sdk;
    const input = {
      ...this.#object(key),
      Body: bytes,
      ContentLength: bytes.length,
      ...(how === 'create' ? { IfNoneMatch: '*' } : {}),
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as 'STANDARD' }),
    };
    return this.#tries({ operation: 'put', key }, async () => {
      try {
        await this.#client.send(new PutObjectCommand(input), this.#sending());
        return 'stored';
      } catch (error) {
        if (how === 'create' && statusOf(error) === 412) return 'exists';
        throw error;
      }
    });
  }

  async read(key: string, offset: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    assert(length > 0, 'at least one byte is read');
    const range = { from: offset, to: offset + length - 1 };
    const bytes = await this.#get(key, range, length, into);
    if (bytes === null) throw new StoreError({ code: 'STORE_MISSING', url: this.url, key });
    if (bytes.length === length) return bytes;
    const [wanted, got] = [length, bytes.length];
    throw new StoreError({ code: 'STORE_SHORT', url: this.url, key, offset, wanted, got });
  }

  readWhole(key: string, bytesMax: number): Promise<Uint8Array | null> {
    return this.#get(key, null, bytesMax);
  }

  head(key: string): Promise<ObjectFacts | null> {
    const { HeadObjectCommand } = this.#sdk;
    return this.#tries({ operation: 'head', key }, async () => {
      try {
        const command = new HeadObjectCommand(this.#object(key));
        const found = await this.#client.send(command, this.#sending());
        return {
          key,
          bytes: found.ContentLength ?? 0,
          timeMs: found.LastModified?.getTime() ?? 0,
          storageClass: found.StorageClass ?? null,
        };
      } catch (error) {
        if (statusOf(error) === 404) return null;
        throw error;
      }
    });
  }

  async *list(prefix: string): AsyncIterable<ObjectFacts> {
    const { ListObjectsV2Command } = this.#sdk;
    const whole = { Bucket: this.#bucket, Prefix: this.#prefix + prefix };
    let next: string | undefined;
    do {
      const place = next === undefined ? whole : { ...whole, ContinuationToken: next };
      const page = await this.#tries({ operation: 'list', key: prefix }, () =>
        this.#client.send(new ListObjectsV2Command(place), this.#sending()),
      );
      for (const { Key, Size, LastModified, StorageClass } of page.Contents ?? []) {
        if (Key === undefined || !Key.startsWith(this.#prefix)) continue;
        yield {
          key: Key.slice(this.#prefix.length),
          bytes: Size ?? 0,
          timeMs: LastModified?.getTime() ?? 0,
          storageClass: StorageClass ?? null,
        };
      }
      next = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (next !== undefined);
  }

  async remove(keys: readonly string[]): Promise<void> {
    const { DeleteObjectsCommand } = this.#sdk;
    for (let at = 0; at < keys.length; at += REMOVE_KEYS_MAX) {
      const some = keys.slice(at, at + REMOVE_KEYS_MAX);
      const Objects = some.map((key) => ({ Key: this.#object(key).Key }));
      const command = { Bucket: this.#bucket, Delete: { Objects, Quiet: true } };
      const facts = { operation: 'remove', key: present(some[0], 'a part has keys') };
      const { Errors = [] } = await this.#tries(facts, () =>
        this.#client.send(new DeleteObjectsCommand(command), this.#sending()),
      );
      const [first] = Errors.filter(({ Code }) => Code !== 'NoSuchKey');
      if (first === undefined) continue;
      const text = `${first.Code ?? 'Error'}: ${first.Message ?? ''} (${first.Key ?? ''})`;
      throw new StoreError({ code: 'STORE_FAILED', url: this.url, ...facts, text });
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#client.destroy();
  }

  /** At most `bytesMax`; null: there is no such object. */
  #get(
    key: string,
    range: { readonly from: number; readonly to: number } | null,
    bytesMax: number,
    into?: Uint8Array,
  ): Promise<Uint8Array | null> {
    const { GetObjectCommand } = this.#sdk;
    const part = range === null ? {} : { Range: `bytes=${range.from}-${range.to}` };
    const input = { ...this.#object(key), ...part };
    return this.#tries({ operation: 'get', key }, async () => {
      try {
        const {
          Body: answered,
          ContentLength,
          ContentRange,
        } = await this.#client.send(new GetObjectCommand(input), this.#sending());
        const body = present(answered, 'a GET answers with a body') as Body;
        if (range !== null && ContentRange?.startsWith(`bytes ${range.from}-`) !== true) {
          body.destroy();
          const text = `it gives ${ContentRange ?? 'all'}, asked from ${range.from}`;
          throw new StoreError({
            code: 'STORE_FAILED',
            url: this.url,
            operation: 'get',
            key,
            text,
          });
        }
        if (ContentLength === undefined || ContentLength <= bytesMax) {
          const place = { url: this.url, key };
          const length = ContentLength ?? null;
          const pieces = await received(body, length, bytesMax, place, this.counts);
          return joinedIn(into, pieces);
        }
        body.destroy();
        const facts = { url: this.url, key, bytes: ContentLength, bytesMax };
        throw new StoreError({ code: 'STORE_TOO_LARGE', ...facts });
      } catch (error) {
        if (statusOf(error) === 404 && errorName(error) !== 'NoSuchBucket') return null;
        if (statusOf(error) === 416) return new Uint8Array(0);
        throw error;
      }
    });
  }

  #object(key: string): { readonly Bucket: string; readonly Key: string } {
    checkKey(key);
    return { Bucket: this.#bucket, Key: this.#prefix + key };
  }

  #sending = (): { readonly abortSignal: AbortSignal } => ({ abortSignal: this.#stop.signal });

  /** What may be better in a moment is tried again. */
  async #tries<T>(facts: RequestFacts, work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await work();
      } catch (cause) {
        const error = cause instanceof StoreError ? cause : s3Fault(this.url, facts, cause);
        const again = isStoreTransient(error.fault) && mayRepeat(cause);
        if (!again || tries === TRIES_MAX || this.#stop.signal.aborted) throw error;
        await this.#clock.sleep(tries * TRY_AGAIN_MS, this.#stop.signal);
      }
    }
  }
}

const errorName = (error: unknown): string => (error instanceof Error ? error.name : '');

/** Bodies that broke off, and 409; others the SDK has tried as often as it makes sense. */
const mayRepeat = (cause: unknown): boolean =>
  cause instanceof StoreError || statusOf(cause) === 409;
