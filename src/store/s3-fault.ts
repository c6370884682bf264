// What an error of the S3 client means: a fault of store.ts, decided on names and statuses.
import { codeOf } from '../base/errors.js';
import { StoreError } from './store.js';

export interface RequestFacts {
  readonly operation: string;
  readonly key: string;
}

const TEXT_CHARACTERS_MAX = 300;
/** What the SDK says when it has nothing to say. */
const NO_WORDS = new Set(['', 'Error', 'UnknownError']);
/** What to look at, by name or text of an error that does not say so itself. */
const HINTS: ReadonlyMap<string, string> = new Map([
  ['RequestTimeTooSkewed', 'is the clock of this machine right?'],
  ['CredentialsProviderError', 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile'],
  ['Region is missing', 'region in hast.conf, --region, AWS_REGION, or a profile'],
]);
/** Errors before any answer: whose fault it is. */
const DENIED = /^(CredentialsProviderError|TokenProviderError|InvalidAccessKeyId|ExpiredToken)$/;

/** HTTP status of an answer; null: there was none. */
export function statusOf(error: unknown): number | null {
  if (!(error instanceof Error) || !('$metadata' in error)) return null;
  const { httpStatusCode } = error.$metadata as { readonly httpStatusCode?: number };
  return httpStatusCode ?? null;
}

export function s3Fault(url: string, facts: RequestFacts, cause: unknown) {
  const status = statusOf(cause);
  const text = textOf(cause, status);
  const fault = { url, ...facts, text };
  const name = cause instanceof Error ? cause.name : '';
  if (name === 'NoSuchBucket') {
    return new StoreError({ code: 'STORE_NO_BUCKET', url, text }, { cause });
  }
  if (status === 401 || status === 403 || DENIED.test(name)) {
    return new StoreError({ code: 'STORE_DENIED', ...fault }, { cause });
  }
  const isForNow = status === null ? isOfNetwork(cause) : isForNowStatus(status);
  return new StoreError(
    { code: isForNow ? 'STORE_UNREACHABLE' : 'STORE_FAILED', ...fault },
    {
      cause,
    },
  );
}

const isForNowStatus = (status: number): boolean =>
  status === 408 || status === 409 || status === 429 || (status >= 500 && status !== 501);

/** Without an answer: the connection, or our own end. */
function isOfNetwork(cause: unknown): boolean {
  const name = cause instanceof Error ? cause.name : '';
  if (/^(TimeoutError|AbortError)$/.test(name)) return true;
  const code = codeOf(cause);
  return code !== null && /^(E[A-Z_]+|HPE_\w+|UND_\w+)$/.test(code);
}

function textOf(cause: unknown, status: number | null): string {
  if (!(cause instanceof Error)) return String(cause);
  const answer = status === null ? (codeOf(cause) ?? '') : `HTTP ${status}`;
  const words = [answer, cause.name, cause.message].filter((word) => !NO_WORDS.has(word));
  const text = [...new Set(words)].join(': ').replace(/\s+/g, ' ');
  const hint = HINTS.get(cause.name) ?? HINTS.get(cause.message);
  return text.slice(0, TEXT_CHARACTERS_MAX) + (hint === undefined ? '' : ` (${hint})`);
}
