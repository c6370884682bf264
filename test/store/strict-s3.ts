// A strict S3 in the process of the test: AWS's semantics (signatures, hashes and checksums of
// bodies, conditional PUT, ranges, pages) on objects in memory, and its weather: SlowDown, 409,
// connections that end before, in the middle of, or after what was asked for. It refuses what a
// client of ours must not do.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { crc32 } from 'node:zlib';
import { deferred } from '../../src/base/sync.js';
import { type SignedQuestion, signatureFault } from './s3-signature.js';

export { ACCESS_KEY, REGION, SECRET_KEY } from './s3-signature.js';

const BODY_BYTES_MAX = 128 * 1024 * 1024;
const PAGE_KEYS_MAX = 1000;

/** What happens to a request. 'lost': it is done, and its answer does not come. */
export type S3Weather =
  | 'slow down'
  | 'internal error'
  | 'conflict'
  | 'reset before'
  | 'lost'
  | 'break off'
  | 'short';

export interface StrictS3 {
  readonly endpoint: string;
  readonly objects: Map<string, { readonly bytes: Buffer; readonly timeMs: number }>;
  /** Of the requests so far: `PUT /bucket/key`. */
  readonly seen: string[];
  /** Asked at each request; null: good weather. */
  weather: (method: string, key: string) => S3Weather | null;
  /** Milliseconds before each answer. */
  latencyMs: number;
  close(): Promise<void>;
}

interface Question extends SignedQuestion {
  readonly key: string;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** `port` 0: any that is free. */
export async function startStrictS3(bucket: string, port = 0): Promise<StrictS3> {
  const objects: StrictS3['objects'] = new Map();
  const seen: string[] = [];
  const server = createServer();
  const s3: StrictS3 = {
    endpoint: '',
    objects,
    seen,
    weather: () => null,
    latencyMs: 0,
    close: () => closed(server),
  };
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    void served(s3, bucket, request, response).catch(() => request.socket.destroy());
  });
  const listening = deferred<void>();
  server.listen(port, '127.0.0.1', () => listening.resolve());
  await listening.promise;
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('it has a port');
  return Object.assign(s3, { endpoint: `http://127.0.0.1:${address.port}` });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  });
}

async function served(
  s3: StrictS3,
  bucket: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', s3.endpoint);
  const path = decodeURIComponent(url.pathname);
  const method = request.method ?? '';
  const key = path.startsWith(`/${bucket}/`) ? path.slice(bucket.length + 2) : '';
  s3.seen.push(`${method} ${path}`);
  const weather = s3.weather(method, key);
  if (weather === 'reset before') return void request.socket.destroy();
  const body = await bodyOf(request);
  if (s3.latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, s3.latencyMs));
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) headers[name] = String(value);
  const question: Question = { method, key, query: url.searchParams, headers, body };
  const answer =
    ofWeather(weather) ??
    (await denied(question, url, path)) ??
    badBody(question) ??
    (path.split('/')[1] === bucket ? answerOf(s3, question) : fail(404, 'NoSuchBucket'));
  if (weather === 'lost') return void request.socket.destroy();
  send(response, answer, method, weather);
}

function send(
  response: ServerResponse,
  { status, headers = {}, body = Buffer.alloc(0) }: Answer,
  method: string,
  weather: S3Weather | null,
): void {
  response.writeHead(status, { 'content-length': String(body.length), ...headers });
  if (method === 'HEAD') return void response.end();
  const part = body.subarray(0, Math.floor(body.length / 2));
  if ((weather === 'break off' || weather === 'short') && status < 300 && body.length > 0) {
    // The connection ends in the middle: with a reset, or as if all were said.
    response.write(part, () => {
      if (weather === 'short') response.socket?.end();
      else response.socket?.resetAndDestroy();
    });
    return;
  }
  response.end(body);
}

function ofWeather(weather: S3Weather | null): Answer | null {
  if (weather === 'slow down') return fail(503, 'SlowDown');
  if (weather === 'internal error') return fail(500, 'InternalError');
  if (weather === 'conflict') return fail(409, 'ConditionalRequestConflict');
  return null;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > BODY_BYTES_MAX) throw new TypeError('too much');
  }
  return Buffer.concat(pieces);
}

async function denied(question: Question, url: URL, path: string): Promise<Answer | null> {
  const code = await signatureFault(question, url, path);
  return code === null ? null : fail(403, code);
}

/** What was sent is what arrived. */
function badBody({ method, headers, body, query }: Question): Answer | null {
  const hash = headers['x-amz-content-sha256'] ?? '';
  if (hash.startsWith('STREAMING')) return fail(501, 'NotImplemented');
  if (hash !== 'UNSIGNED-PAYLOAD' && hash !== createHash('sha256').update(body).digest('hex')) {
    return fail(400, 'XAmzContentSHA256Mismatch');
  }
  const crc = headers['x-amz-checksum-crc32'];
  if (crc !== undefined) {
    const found = Buffer.alloc(4);
    found.writeUInt32BE(crc32(body));
    if (found.toString('base64') !== crc) return fail(400, 'BadDigest');
  }
  const md5 = headers['content-md5'];
  if (md5 !== undefined && createHash('md5').update(body).digest('base64') !== md5) {
    return fail(400, 'BadDigest');
  }
  const needsOne = method === 'POST' && query.has('delete');
  if (needsOne && crc === undefined && md5 === undefined) return fail(400, 'InvalidRequest');
  if (method === 'PUT' && headers['content-length'] === undefined) {
    return fail(411, 'MissingContentLength');
  }
  return null;
}

function answerOf(s3: StrictS3, question: Question): Answer {
  const { method, key, query } = question;
  if (method === 'PUT' && key !== '') return putOf(s3, question);
  if ((method === 'GET' || method === 'HEAD') && key !== '') return getOf(s3, question);
  if (method === 'GET' && query.get('list-type') === '2') return listOf(s3, query);
  if (method === 'DELETE' && key !== '') {
    s3.objects.delete(key);
    return { status: 204 };
  }
  if (method === 'POST' && query.has('delete')) {
    for (const [, name = ''] of question.body.toString().matchAll(/<Key>(.*?)<\/Key>/g)) {
      s3.objects.delete(unescaped(name));
    }
    return xml('<DeleteResult></DeleteResult>');
  }
  return fail(501, 'NotImplemented');
}

function putOf({ objects }: StrictS3, { key, headers, body }: Question): Answer {
  const condition = headers['if-none-match'];
  if (condition !== undefined && condition !== '*') return fail(501, 'NotImplemented');
  if (condition === '*' && objects.has(key)) return fail(412, 'PreconditionFailed');
  const match = headers['if-match'];
  const before = objects.get(key);
  if (match !== undefined && before === undefined) return fail(404, 'NoSuchKey');
  if (match !== undefined && before && match !== etag(before.bytes)) {
    return fail(412, 'PreconditionFailed');
  }
  objects.set(key, { bytes: body, timeMs: Date.now() });
  return { status: 200, headers: { etag: etag(body) } };
}

function getOf({ objects }: StrictS3, { key, headers, method }: Question): Answer {
  const found = objects.get(key);
  if (found === undefined) return method === 'HEAD' ? { status: 404 } : fail(404, 'NoSuchKey');
  const facts = {
    etag: etag(found.bytes),
    'last-modified': new Date(found.timeMs).toUTCString(),
    'accept-ranges': 'bytes',
  };
  const { bytes } = found;
  if (method === 'HEAD') {
    return { status: 200, headers: { ...facts, 'content-length': String(bytes.length) } };
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers['range'] ?? '') ?? [];
  if (from === undefined || to === undefined) return { status: 200, headers: facts, body: bytes };
  if (Number(from) >= bytes.length) return fail(416, 'InvalidRange');
  const body = bytes.subarray(Number(from), Number(to) + 1);
  const range = `bytes ${from}-${Number(from) + body.length - 1}/${bytes.length}`;
  return { status: 206, headers: { ...facts, 'content-range': range }, body };
}

function listOf({ objects }: StrictS3, query: URLSearchParams): Answer {
  const prefix = query.get('prefix') ?? '';
  const after = query.get('continuation-token') ?? '';
  const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
  const page = keys.slice(0, PAGE_KEYS_MAX);
  const more = keys.length > page.length;
  const contents = page.map((key) => {
    const { bytes, timeMs } = objects.get(key) ?? { bytes: Buffer.alloc(0), timeMs: 0 };
    const time = new Date(timeMs).toISOString();
    const size = `<Size>${bytes.length}</Size><LastModified>${time}</LastModified>`;
    return `<Contents><Key>${escaped(key)}</Key>${size}</Contents>`;
  });
  const next = more
    ? `<NextContinuationToken>${escaped(page.at(-1) ?? '')}</NextContinuationToken>`
    : '';
  const facts = `<KeyCount>${page.length}</KeyCount><IsTruncated>${more}</IsTruncated>${next}`;
  return xml(`<ListBucketResult>${facts}${contents.join('')}</ListBucketResult>`);
}

const etag = (bytes: Uint8Array): string => `"${createHash('md5').update(bytes).digest('hex')}"`;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

const unescaped = (text: string): string =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');

const xml = (text: string): Answer => ({
  status: 200,
  headers: { 'content-type': 'application/xml' },
  body: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>${text}`),
});

const fail = (status: number, code: string): Answer => ({
  status,
  headers: { 'content-type': 'application/xml' },
  body: Buffer.from(
    `<?xml version="1.0" encoding="UTF-8"?>` +
      `<Error><Code>${code}</Code><Message>${code}</Message></Error>`,
  ),
});
