// An answer that goes on: events, each a line of JSON; one that carries content says how many
// `bytes` follow its line. The last one is `end`; an `error` in its place says why there will be no
// end. A stream that just stops was cut off: the daemon, or the connection, is gone.
import { z } from 'zod';
import { CHUNK_BYTES } from '../base/units.js';
import { pointRecord } from './answers.js';
import { ControlError, type PointEvent } from './api.js';
import { type ErrorBody, jsonText } from './error-body.js';

/** Longest line: a thousand ranges, eight thousand chunks. */
const LINE_BYTES_MAX = 512 * 1024;
/** Chunks whose content one event carries. */
export const CHUNKS_CARRIED_MAX = 16;
/** Chunks of one event, zeroes for the most part. */
export const CHUNKS_TOLD_MAX = 8192;
const CARRIED_BYTES_MAX = CHUNKS_CARRIED_MAX * CHUNK_BYTES;

const whole = z.number().int().nonnegative();
const eventSchema = z.discriminatedUnion('event', [
  z.object({
    event: z.literal('opened'),
    point: pointRecord,
    from: pointRecord.nullable(),
    uri: z.string().nullable(),
  }),
  z.object({
    event: z.literal('chunks'),
    first: whole,
    count: whole.max(CHUNKS_TOLD_MAX),
    carried: z.array(whole).max(CHUNKS_CARRIED_MAX),
    bytes: whole.max(CARRIED_BYTES_MAX),
  }),
  z.object({ event: z.literal('ranges'), ranges: z.array(z.tuple([whole, whole])) }),
  z.object({ event: z.literal('checked'), chunks: whole, totalChunks: whole }),
  z.object({
    event: z.literal('bad'),
    offset: whole,
    length: whole,
    code: z.string(),
    text: z.string(),
  }),
  z.object({ event: z.literal('end') }),
  z.object({
    event: z.literal('error'),
    error: z.object({
      code: z.string(),
      message: z.string(),
      exitStatus: z.number(),
      facts: z.record(z.string(), z.unknown()),
    }),
  }),
]);

export type StreamEvent = PointEvent | { readonly event: 'end' } | ErrorEvent;
export type ErrorEvent = { readonly event: 'error' } & ErrorBody;

/** What is sent for an event, in pieces. */
export function encodeEvent(event: StreamEvent): readonly Uint8Array[] {
  if (event.event !== 'chunks') return [Buffer.from(`${jsonText(event)}\n`)];
  const line = { ...event, bytes: event.bytes.length };
  return [Buffer.from(`${jsonText(line)}\n`), event.bytes];
}

/** The events of what comes in. Error CONTROL_FAILED for what is none; the end of `pieces` is the
 * end, whatever the last event was. */
export async function* decodeEvents(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<StreamEvent> {
  const input = new Input(pieces);
  for (;;) {
    const line = await input.line();
    if (line === null) return;
    const event = parsed(line);
    if (event.event !== 'chunks') {
      yield event;
      continue;
    }
    const bytes = await input.take(event.bytes);
    if (bytes === null) return;
    yield { ...event, bytes };
  }
}

function parsed(line: string): z.infer<typeof eventSchema> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw bad('a line that is not JSON');
  }
  const result = eventSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw bad(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'no event'}`);
}

function bad(why: string) {
  const text = `hastd gave an answer of another form (is it of the same release?): ${why}`;
  return new ControlError({ code: 'CONTROL_FAILED', text });
}

/** Lines and counted bytes out of pieces of any length. */
class Input {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  async line(): Promise<string | null> {
    let seen = 0;
    for (;;) {
      const end = this.#held.indexOf(10, seen);
      if (end >= 0) {
        const line = Buffer.from(this.#held.subarray(0, end)).toString('utf8');
        this.#held = this.#held.subarray(end + 1);
        return line;
      }
      seen = this.#held.length;
      if (seen > LINE_BYTES_MAX) throw bad('a line without an end');
      if (!(await this.#more())) return null;
    }
  }

  async take(count: number): Promise<Uint8Array | null> {
    const bytes = new Uint8Array(count);
    let at = 0;
    for (;;) {
      const part = this.#held.subarray(0, count - at);
      bytes.set(part, at);
      at += part.length;
      this.#held = this.#held.subarray(part.length);
      if (at === count) return bytes;
      if (!(await this.#more())) return null;
    }
  }

  async #more(): Promise<boolean> {
    const next = await this.#pieces.next();
    if (next.done === true) return false;
    this.#held = this.#held.length === 0 ? next.value : Buffer.concat([this.#held, next.value]);
    return true;
  }
}
