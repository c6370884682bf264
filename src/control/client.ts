// The other end of the control socket: one request per connection, typed answers. No time limit:
// a held request ends with its answer, with the daemon, or with the caller's signal.
// Errors: CONTROL_UNREACHABLE (no connection), CONTROL_LOST (connection, then no whole answer),
// CONTROL_FAILED (an answer that is none of ours, or of another form), and RemoteError for what the
// daemon refuses.
import { type IncomingMessage, request } from 'node:http';
import type { z } from 'zod';
import { codeOf, type Fault, HastError } from '../base/errors.js';
import { ANSWERS, faultOf } from './answers.js';
import {
  type ControlApi,
  ControlError,
  type NotesAnswer,
  type PointEvent,
  type StatusAnswer,
} from './api.js';
import { decodeEvents } from './event-stream.js';
import { exitStatusOf } from './exit-status.js';

/** Far more than ten thousand rounds take. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

/** An error that the daemon sent: its code and facts are in `fault`. */
export class RemoteError extends HastError {
  readonly fault: Fault;
  readonly exitStatus: number;

  constructor(fault: Fault, message: string, exitStatus: number) {
    super(message);
    this.name = 'RemoteError';
    this.fault = fault;
    this.exitStatus = exitStatus;
  }
}

export interface ControlClient extends ControlApi {
  /** The signal gives up waiting, and then it rejects. */
  status(names: readonly string[], signal?: AbortSignal): Promise<StatusAnswer>;
  /** What the daemon runs with: its effective settings. */
  config(): Promise<unknown>;
}

/** A client for the daemon at `path`. `trace` is told of every request (hastctl -d). */
export function controlClient(
  path: string,
  trace: (line: string) => void = () => {},
): ControlClient {
  const ask = async (
    method: 'GET' | 'POST',
    target: string,
    body?: object,
    signal?: AbortSignal,
  ) => {
    trace(`${method} ${target}${body ? ` ${JSON.stringify(body)}` : ''}`);
    const answer = await exchange(path, method, target, body, signal);
    trace(`${answer.status} ${answer.text.length} characters`);
    return readAnswer(answer);
  };
  const at = (name: string, verb: string): string =>
    `/v1/resources/${encodeURIComponent(name)}/${verb}`;
  const noted = async (target: string, body: object): Promise<NotesAnswer> =>
    expected(ANSWERS.notes, await ask('POST', target, body));
  return {
    status: async (names, signal) =>
      expected(
        ANSWERS.status,
        await ask('GET', `/v1/status${nameQuery(names)}`, undefined, signal),
      ),
    create: (name, body) => noted(at(name, 'create'), body),
    role: async (name, body) => expected(ANSWERS.role, await ask('POST', at(name, 'role'), body)),
    sync: async (name, body, signal) =>
      expected(ANSWERS.sync, await ask('POST', at(name, 'sync'), body, signal)),
    verify: async (name, deep, signal) =>
      expected(ANSWERS.verify, await ask('POST', at(name, 'verify'), { deep }, signal)),
    point: (name, body, signal) => {
      const target = at(name, 'point');
      trace(`POST ${target} ${JSON.stringify(body)}`);
      return events(path, target, body, signal);
    },
    rounds: async (name) => expected(ANSWERS.rounds, await ask('GET', at(name, 'rounds'))),
    points: async (name) => expected(ANSWERS.points, await ask('GET', at(name, 'points'))),
    pause: (name, body) => noted(at(name, 'pause'), body),
    resume: (name, body) => noted(at(name, 'resume'), body),
    cancel: (name, body) => noted(at(name, 'cancel'), body),
    prune: async (name, request) =>
      expected(ANSWERS.prune, await ask('POST', at(name, 'prune'), request)),
    pin: async (name, body) => expected(ANSWERS.pin, await ask('POST', at(name, 'pin'), body)),
    repack: async (name, request) =>
      expected(ANSWERS.repack, await ask('POST', at(name, 'repack'), request)),
    estimate: async (name) => expected(ANSWERS.estimate, await ask('GET', at(name, 'estimate'))),
    set: (name, body) => noted(at(name, 'set'), body),
    resize: (name, body) => noted(at(name, 'resize'), body),
    reload: () => noted('/v1/reload', {}),
    config: () => ask('GET', '/v1/config'),
    stop: async () => void (await ask('POST', '/v1/stop', {})),
  };
}

function nameQuery(names: readonly string[]): string {
  if (names.length === 0) return '';
  return `?${names.map((name) => `name=${encodeURIComponent(name)}`).join('&')}`;
}

/** Errors CONTROL_LOST too when it ends before its end. */
async function* events(
  path: string,
  target: string,
  body: object,
  signal: AbortSignal,
): AsyncGenerator<PointEvent> {
  const response = await opened(path, 'POST', target, body, signal);
  const { statusCode = 0 } = response;
  if (statusCode >= 400) {
    readAnswer(await new Promise<Answer>((resolve, reject) => collect(response, resolve, reject)));
  }
  try {
    for await (const event of decodeEvents(response)) {
      if (event.event === 'end') return;
      if (event.event === 'error') throw remoteError(event, statusCode);
      yield event;
    }
  } catch (error) {
    if (error instanceof HastError || signal.aborted) throw error;
    throw new ControlError({ code: 'CONTROL_LOST', path }, { cause: error });
  } finally {
    response.destroy();
  }
  throw new ControlError({ code: 'CONTROL_LOST', path });
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

async function exchange(
  path: string,
  method: string,
  target: string,
  body: object | undefined,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const response = await opened(path, method, target, body, signal);
  try {
    return await new Promise((resolve, reject) => collect(response, resolve, reject));
  } catch (error) {
    if (error instanceof HastError || signal?.aborted) throw error;
    throw new ControlError({ code: 'CONTROL_LOST', path }, { cause: error });
  }
}

/** The head of the answer has come. */
function opened(
  path: string,
  method: string,
  target: string,
  body: object | undefined,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    let connected = false;
    const stop = signal === undefined ? {} : { signal };
    const sent = request({ socketPath: path, method, path: target, agent: false, ...stop });
    const fail = (error: Error): void => {
      if (signal?.aborted) reject(error);
      else if (connected)
        reject(new ControlError({ code: 'CONTROL_LOST', path }, { cause: error }));
      else reject(unreachable(path, error));
    };
    // Also when the answer has begun: then its reader hears of it.
    sent.on('error', fail);
    sent.once('socket', (socket) => {
      socket.once('connect', () => {
        connected = true;
      });
    });
    sent.once('response', resolve);
    if (body !== undefined) sent.setHeader('content-type', 'application/json');
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function collect(
  response: IncomingMessage,
  resolve: (answer: Answer) => void,
  reject: (error: unknown) => void,
): void {
  const pieces: Buffer[] = [];
  let length = 0;
  response.on('data', (piece: Buffer) => {
    length += piece.length;
    pieces.push(piece);
    if (length <= ANSWER_BYTES_MAX) return;
    const text = `the answer is larger than ${ANSWER_BYTES_MAX} bytes`;
    reject(new ControlError({ code: 'CONTROL_FAILED', text }));
    response.destroy();
  });
  response.once('error', reject);
  response.once('end', () =>
    resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') }),
  );
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such socket',
  ECONNREFUSED: 'nobody listens there',
  EACCES: 'permission denied',
};

function unreachable(path: string, error: Error) {
  const errno = codeOf(error) ?? error.message;
  const reason = REASONS[errno];
  const text = reason ?? errno;
  // A reason in words is all that the cause says.
  const options = reason === undefined ? { cause: error } : {};
  return new ControlError({ code: 'CONTROL_UNREACHABLE', path, text }, options);
}

function readAnswer(answer: Answer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(answer.text);
  } catch (cause) {
    const text = `hastd answered ${answer.status} with something that is not JSON`;
    throw new ControlError({ code: 'CONTROL_FAILED', text }, { cause });
  }
  if (answer.status < 400) return value;
  throw remoteError(value, answer.status);
}

/** The answer as it came, further fields and all. */
function expected<T>(schema: z.ZodType<T>, value: unknown): T {
  const fault = faultOf(schema, value);
  if (fault === null) return value as T;
  const text = `hastd gave an answer of another form (is it of the same release?): ${fault}`;
  throw new ControlError({ code: 'CONTROL_FAILED', text });
}

function remoteError(value: unknown, status: number): HastError {
  const error = field(value, 'error');
  const code = field(error, 'code');
  const message = field(error, 'message');
  if (typeof code !== 'string' || typeof message !== 'string') {
    const text = `hastd answered ${status} without saying why`;
    return new ControlError({ code: 'CONTROL_FAILED', text });
  }
  const sentStatus = field(error, 'exitStatus');
  const facts = field(error, 'facts');
  const fault = { ...(typeof facts === 'object' ? facts : {}), code };
  const exitStatus = typeof sentStatus === 'number' ? sentStatus : exitStatusOf(code);
  return new RemoteError(fault, message, exitStatus);
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
}
