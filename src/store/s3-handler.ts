// The HTTP side of the S3 store: every attempt of every request passes here, is counted as the
// store bills it, and its body leaves at the pace of the target's rate. A body is always bytes in
// memory: an attempt that fails can be made again. Loaded only when an S3 store is opened.
import { Readable } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { StoreCounts, StoreRequest } from './store.js';

/** Milliseconds. A connection without a byte either way for SOCKET_MS_MAX is dead; the time of a
 * whole request has no limit, for a pack may take minutes on a slow link. */
const CONNECT_MS_MAX = 5000;
const SOCKET_MS_MAX = 60_000;
export const SOCKETS_MAX = 32;
/** A body is sent in pieces of so many bytes where there is a rate. */
const PIECE_BYTES = 16 * 1024;

/** Waits until so many bytes may leave. */
export type Pace = (bytes: number) => Promise<void>;

interface Sent {
  readonly method: string;
  readonly query?: object;
  readonly body?: unknown;
}

/** For `requestHandler` of a client. `pace` null: as fast as the link. */
export class CountingHandler extends NodeHttpHandler {
  readonly #counts: StoreCounts;
  readonly #pace: Pace | null;

  constructor(counts: StoreCounts, pace: Pace | null) {
    super({
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: SOCKET_MS_MAX,
      httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
    });
    this.#counts = counts;
    this.#pace = pace;
  }

  override handle(
    ...[request, options]: Parameters<NodeHttpHandler['handle']>
  ): ReturnType<NodeHttpHandler['handle']> {
    this.#counts[kindOf(request)] += 1;
    const { body } = request;
    if (!(body instanceof Uint8Array)) return super.handle(request, options);
    this.#counts.upBytes += body.length;
    const pace = this.#pace;
    if (pace === null || body.length === 0) return super.handle(request, options);
    const attempt = request.clone();
    attempt.body = Readable.from(pieces(body, pace), { objectMode: false });
    return super.handle(attempt, options);
  }
}

async function* pieces(bytes: Uint8Array, pace: Pace): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    await pace(piece.length);
    yield piece;
  }
}

function kindOf({ method, query = {} }: Sent): StoreRequest {
  if (method === 'PUT') return 'put';
  if (method === 'HEAD') return 'head';
  if (method === 'DELETE' || method === 'POST') return 'remove';
  return 'list-type' in query ? 'list' : 'get';
}
