// Opens the store of a url; what S3 needs is loaded only for S3.
import type { Clock } from '../base/clock.js';
import { makeBelow, openDirectoryStore } from './directory-store.js';
import type { Pace } from './s3-handler.js';
import { openS3Store } from './s3-store.js';
import type { ObjectStore } from './store.js';
import { storeUrl } from './url.js';

export interface StoreOptions {
  /** s3://… or file:///… */
  readonly url: string;
  /** A part below it that is made where it is not there, though the rest never is; null: none. */
  readonly below: string | null;
  /** That part was made before: where it is not, it is not made again. */
  readonly isMade?: boolean;
  /** S3 only; null: AWS. */
  readonly endpoint: string | null;
  /** S3 only; null: of the usual AWS places. */
  readonly region: string | null;
  /** S3 only; see S3Options. */
  readonly checksums: 'supported' | 'required';
  /** Waits until so many bytes may leave; null: as fast as it goes. */
  readonly pace: Pace | null;
}

/** Errors STORE_URL, STORE_NO_BUCKET. S3 is not asked anything yet. */
export async function openStore(options: StoreOptions, clock: Clock): Promise<ObjectStore> {
  const { below } = options;
  const url = storeUrl(
    below === null ? options.url : `${options.url.replace(/\/+$/, '')}/${below}`,
  );
  if (url.kind === 'directory') {
    const base = below === null ? null : storeUrl(options.url);
    if (base?.kind === 'directory' && options.isMade !== true) await makeBelow(base.path, url.path);
    return openDirectoryStore(url.path, clock.wallMs());
  }
  return openS3Store({ ...options, url }, clock);
}
