// The operator's server: HTTP/1.1 on a unix socket, JSON both ways; hastctl and curl use the same.
// Guarantees: the socket is made with mode 0600 (no moment with more); a stale one is removed only
// if nobody answers on it; a body over 64 KiB is refused; `sync --wait` and `verify` hold their
// request without a limit of time and stop when the client goes. Two daemons that start at the same
// instant are kept apart by the lock of the state directory, not here. Sizes are bytes.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AssertionError } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { describeError, HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { type ControlApi, ControlError, type PointEvent } from './api.js';
import { errorBody, httpStatusOf, jsonText } from './error-body.js';
import { encodeEvent, type StreamEvent } from './event-stream.js';
import { type Call, readCall } from './routes.js';
import { bindControlSocket } from './socket.js';

const BODY_BYTES_MAX = 64 * 1024;
const CONNECTIONS_MAX = 64;
/** A client gets this long to send its request; the answer may take as long as it likes. */
const REQUEST_MS_MAX = 30_000;
/** At close, running requests get this long to say their last word. */
const CLOSE_GRACE_MS = 1000;

export interface ControlServerOptions {
  /** Path of the socket, at most 107 bytes. */
  readonly path: string;
}

export interface ControlServerMachinery {
  readonly api: ControlApi;
  /** Answer to GET /v1/config: effective settings and their origins. */
  readonly config: () => unknown;
  readonly log: Log;
  readonly clock: Clock;
  /** Told of our own mistakes (assertions), after the client has its answer. */
  readonly onBug: (error: unknown) => void;
}

export interface ControlServer {
  readonly path: string;
  /** Stops listening, aborts what waits, removes the socket. Can be called twice. */
  close(): Promise<void>;
}

/** Listens. Errors CONTROL_IN_USE and CONTROL_SOCKET_FAILED. */
export async function startControlServer(
  options: ControlServerOptions,
  machinery: ControlServerMachinery,
): Promise<ControlServer> {
  const stopping = new AbortController();
  const running = new Set<Promise<void>>();
  const server = createServer({ requestTimeout: REQUEST_MS_MAX }, (request, response) => {
    const work = serve(request, response, machinery, stopping.signal);
    running.add(work);
    void work.finally(() => running.delete(work));
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.timeout = 0;
  await bindControlSocket(server, options.path);
  machinery.log.info('control socket listens', { path: options.path });
  let closing: Promise<void> | null = null;
  return {
    path: options.path,
    close: () => {
      closing ??= closeServer(server, stopping, running, machinery.clock);
      return closing;
    },
  };
}

async function closeServer(
  server: Server,
  stopping: AbortController,
  running: ReadonlySet<Promise<void>>,
  clock: Clock,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  stopping.abort();
  const grace = new AbortController();
  await Promise.race([Promise.all(running), clock.sleep(CLOSE_GRACE_MS, grace.signal)]);
  grace.abort();
  server.closeAllConnections();
  await closed;
}

/** Answers one request; never rejects. */
async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  machinery: ControlServerMachinery,
  stopping: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  const abort = (): void => gone.abort();
  response.once('close', abort);
  stopping.addEventListener('abort', abort, { once: true });
  try {
    const body = await readBody(request);
    if (body === 'too large') {
      response.setHeader('connection', 'close');
      reject(response, 413, `the body is larger than ${BODY_BYTES_MAX} bytes`);
      return;
    }
    const call = readCall(request.method ?? '', request.url ?? '', body);
    if (call.kind === 'bad') reject(response, call.status, call.text);
    else await perform(call, response, machinery, gone.signal);
  } catch (error) {
    fail(response, error, machinery);
  } finally {
    stopping.removeEventListener('abort', abort);
  }
}

async function perform(
  call: Call,
  response: ServerResponse,
  machinery: ControlServerMachinery,
  signal: AbortSignal,
): Promise<void> {
  if (call.kind === 'stop') {
    // Answered first: stopping ends with closing this very server.
    await send(response, 202, { stopping: true });
    machinery.api.stop().catch((error: unknown) => {
      machinery.log.error('stop failed', { error: describeError(error) });
      if (error instanceof AssertionError) machinery.onBug(error);
    });
    return;
  }
  if (call.kind === 'point') {
    await stream(response, machinery.api.point(call.name, call.body, signal));
    return;
  }
  await send(response, 200, await dispatch(call, machinery, signal));
}

/** Event by event, as fast as the client takes them. An error before the first is thrown on. */
async function stream(response: ServerResponse, events: AsyncIterable<PointEvent>): Promise<void> {
  const put = async (event: StreamEvent): Promise<boolean> => {
    for (const piece of encodeEvent(event)) {
      if (response.destroyed) return false;
      if (!response.write(piece)) await drained(response);
    }
    return !response.destroyed;
  };
  try {
    for await (const event of events) {
      if (!response.headersSent) {
        response.writeHead(200, { 'content-type': 'application/octet-stream' });
      }
      if (!(await put(event))) return;
    }
    await put({ event: 'end' });
  } catch (error) {
    if (!response.headersSent) throw error;
    await put({ event: 'error', ...errorBody(error) });
    if (error instanceof AssertionError) throw error;
  }
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    if (response.destroyed) resolve();
    else response.end(() => resolve());
  });
}

/** There is room again, or nobody. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
    if (response.destroyed) done();
  });
}

function dispatch(
  call: Exclude<Call, { kind: 'stop' | 'point' }>,
  { api, config }: ControlServerMachinery,
  signal: AbortSignal,
): unknown {
  switch (call.kind) {
    case 'status':
      return api.status(call.names);
    case 'create':
      return api.create(call.name, call.body);
    case 'role':
      return api.role(call.name, call.body);
    case 'sync':
      return api.sync(call.name, call.body, signal);
    case 'verify':
      return api.verify(call.name, call.deep, signal);
    case 'rounds':
      return api.rounds(call.name);
    case 'points':
      return api.points(call.name);
    case 'prune':
      return api.prune(call.name, call.body);
    case 'pin':
      return api.pin(call.name, call.body);
    case 'repack':
      return api.repack(call.name, call.body);
    case 'estimate':
      return api.estimate(call.name);
    case 'pause':
      return api.pause(call.name, call.body);
    case 'resume':
      return api.resume(call.name, call.body);
    case 'cancel':
      return api.cancel(call.name, call.body);
    case 'set':
      return api.set(call.name, call.body);
    case 'resize':
      return api.resize(call.name, call.body);
    case 'reload':
      return api.reload();
    case 'config':
      return config();
  }
}

function fail(response: ServerResponse, error: unknown, machinery: ControlServerMachinery): void {
  const status = httpStatusOf(error);
  if (!(error instanceof HastError) && !response.destroyed) {
    machinery.log.error('control request failed', { error: describeError(error) });
  }
  void send(response, status, errorBody(error));
  if (error instanceof AssertionError) machinery.onBug(error);
}

function reject(response: ServerResponse, status: number, text: string): void {
  void send(response, status, errorBody(new ControlError({ code: 'CONTROL_BAD_REQUEST', text })));
}

/** Resolves when the answer has left, or the client has. */
function send(response: ServerResponse, status: number, value: unknown): Promise<void> {
  if (response.destroyed || response.headersSent) return Promise.resolve();
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(`${jsonText(value)}\n`, () => resolve());
  });
}

/** The whole body; what is over the limit is read past but not kept. */
function readBody(request: IncomingMessage): Promise<string | 'too large'> {
  return new Promise((resolve, rejectBody) => {
    const pieces: Buffer[] = [];
    let length = 0;
    request.on('data', (piece: Buffer) => {
      length += piece.length;
      if (length <= BODY_BYTES_MAX) pieces.push(piece);
      else resolve('too large');
    });
    request.once('end', () => resolve(Buffer.concat(pieces).toString('utf8')));
    request.once('error', rejectBody);
  });
}
