// Where an archive is, as people write it:
//   s3://BUCKET[/PREFIX]   a bucket; the endpoint and the region stand beside the url
//   file:///PATH           a directory, absolute
// Bucket names are those of AWS's rules (3..63 of a-z 0-9 . -); nothing is resolved here. A url
// has no user, password, query or fragment: secrets belong to the usual AWS places.
import { isKey, StoreError } from './store.js';

export type StoreUrl =
  | { readonly kind: 's3'; readonly url: string; readonly bucket: string; readonly prefix: string }
  | { readonly kind: 'directory'; readonly url: string; readonly path: string };

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;

/** Reads a url; error STORE_URL says what is wrong with it. A prefix has no / at its ends. */
export function storeUrl(text: string): StoreUrl {
  const fail = (why: string) => new StoreError({ code: 'STORE_URL', url: text, why });
  const [, scheme = '', rest = ''] = /^([a-z0-9]+):\/\/(.*)$/s.exec(text) ?? [];
  // An s3 url with a user or a query shows in its bucket or its prefix.
  if (scheme === 's3') {
    const [, bucket = '', path = ''] = /^([^/]*)\/*(.*?)\/*$/s.exec(rest) ?? [];
    if (!BUCKET.test(bucket)) throw fail(`${JSON.stringify(bucket)} is no name of a bucket`);
    if (path !== '' && !isKey(path)) {
      throw fail('a prefix has letters, digits and . _ - between single /');
    }
    return { kind: 's3', url: `s3://${bucket}${path && `/${path}`}`, bucket, prefix: path };
  }
  if (scheme === 'file') {
    if (!rest.startsWith('/')) throw fail('a directory is written file:///absolute/path');
    if (rest.includes('\0') || rest.split('/').includes('..')) throw fail('its path has ".."');
    const path = rest.replace(/\/+$/, '').replace(/\/{2,}/g, '/') || '/';
    return { kind: 'directory', url: `file://${path}`, path };
  }
  throw fail('it begins with s3:// or file://');
}
