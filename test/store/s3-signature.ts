// Signatures of the strict S3: each is made again of exactly what came, by the library that clients
// sign with, and compared.
import { createHash, createHmac, type Hash, type Hmac, timingSafeEqual } from 'node:crypto';
import { HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';

export const ACCESS_KEY = 'AKIDEXAMPLE';
export const SECRET_KEY = 'secret-of-a-test';
export const REGION = 'us-east-1';

export interface SignedQuestion {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Signature version 4 of exactly what came, made again; null: it is right, else what S3 says. */
export async function signatureFault(
  question: SignedQuestion,
  url: URL,
  path: string,
): Promise<string | null> {
  const { headers, method } = question;
  const authorization = headers['authorization'] ?? '';
  const [, names = ''] = /SignedHeaders=([^,]+)/.exec(authorization) ?? [];
  const signed = names.split(';');
  if (!signed.includes('host') || !signed.includes('x-amz-content-sha256')) {
    return 'AccessDenied';
  }
  // A condition that nobody signed may have been put in on the way.
  if ('if-none-match' in headers && !signed.includes('if-none-match')) {
    return 'AccessDenied';
  }
  const copy: Record<string, string> = {};
  for (const name of signed) copy[name] = headers[name] ?? '';
  const signer = new SignatureV4({
    credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET_KEY },
    region: REGION,
    service: 's3',
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
  const date = (headers['x-amz-date'] ?? '').replace(
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
    '$1-$2-$3T$4:$5:$6Z',
  );
  const again = new HttpRequest({
    method,
    protocol: 'http:',
    hostname: url.hostname,
    port: Number(url.port),
    path: path.split('/').map(encodeURIComponent).join('/'),
    query: Object.fromEntries(url.searchParams),
    headers: copy,
  });
  const { headers: wanted } = await signer.sign(again, { signingDate: new Date(date) });
  const [one, other] = [wanted['authorization'] ?? '', authorization].map((text) =>
    Buffer.from(/Signature=([0-9a-f]+)/.exec(text)?.[1] ?? text),
  );
  if (one === undefined || other === undefined) return 'AccessDenied';
  if (one.length === other.length && timingSafeEqual(one, other)) return null;
  return 'SignatureDoesNotMatch';
}

class Sha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    const key = typeof secret === 'string' ? secret : asBytes(secret);
    this.#hash = key === null ? createHash('sha256') : createHmac('sha256', key);
  }
  update(bytes: Uint8Array | string): void {
    this.#hash.update(bytes);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#hash.digest()));
  }
  reset(): void {}
}

function asBytes(secret: ArrayBuffer | ArrayBufferView | undefined): Uint8Array | null {
  if (secret === undefined) return null;
  if (secret instanceof ArrayBuffer) return new Uint8Array(secret);
  return new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength);
}
