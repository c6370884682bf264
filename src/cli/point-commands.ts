// restore, diff, serve, and verify of a point: what a secondary keeps of the past is read through
// its hastd, which verifies each chunk before it leaves it (Q1). The disk that a restore writes is
// hastctl's own, with the rights of who calls it; it must not exist, unless --delta names it to be
// made what the point says (Q2).
import type { Command } from 'commander';
import { CHUNK_BYTES, humanBytes } from '../base/units.js';
import type { PointEvent, PointRequest } from '../control/api.js';
import { ControlError } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import { splitAtPoint } from '../lineage/point-spec.js';
import type { PointChunk } from '../restore/point-reader.js';
import type { RestoreCounts } from '../restore/to-disk.js';
import { CliError } from './fault.js';
import { renderChecked, renderDifferences, renderRestored, renderServed } from './render-points.js';
import type { Run, Session } from './session.js';

/** Plain lines of progress go to logs: no more than one in so long. */
const LINE_MS_MIN = 10_000;
/** Damaged chunks that are named. */
const BAD_NAMED_MAX = 16;
/** Ranges in one JSON document. */
const RANGES_LISTED_MAX = 1_000_000;

type Opened = Extract<PointEvent, { event: 'opened' }>;

export function addPointCommands(program: Command, run: Run): void {
  program
    .command('restore')
    .description('write an old point of a secondary into a new file')
    .argument('<point>', 'RESOURCE@POINT: a number, a time such as 2026-11-20T02:00Z, or latest')
    .argument('<path>', 'file to make')
    .option('--delta', 'make what is there the point; only what differs is written')
    .action((point: string, path: string, options: { delta?: boolean }) =>
      run((session) => restore(session, point, path, options.delta ?? false)),
    );
  program
    .command('diff')
    .description('byte ranges in which two points of a secondary differ; reads no data')
    .argument('<point>', 'RESOURCE@POINT')
    .argument('<point>', 'another one of the same resource')
    .action((older: string, newer: string) => run((session) => diff(session, older, newer)));
  program
    .command('serve')
    .description('export an old point of a secondary over NBD, read-only, until interrupted')
    .argument('<point>', 'RESOURCE@POINT')
    .action((point: string) => run((session) => serve(session, point)));
}

/** `hastctl verify vm1@42`: every chunk of the point is read and verified. */
export async function verifyPoint(session: Session, text: string): Promise<number> {
  const { name, point } = named(text);
  const signal = session.machinery.interrupted();
  const { opened, events } = await open(
    session,
    name,
    { what: 'check', point, from: null },
    signal,
  );
  const damaged: Omit<Extract<PointEvent, { event: 'bad' }>, 'event'>[] = [];
  let [damagedChunks, chunks] = [0, 0];
  const progress = progressOf(session);
  for await (const event of events) {
    if (event.event === 'bad') {
      damagedChunks += 1;
      const { event: _event, ...place } = event;
      if (damaged.length < BAD_NAMED_MAX) damaged.push(place);
    }
    if (event.event !== 'checked') continue;
    ({ chunks } = event);
    progress(`${chunks} of ${event.totalChunks} chunks`);
  }
  const answer = { point: opened.point, chunks, damagedChunks, damaged };
  session.print(answer, renderChecked(name, answer));
  if (damagedChunks === 0) return EXIT.ok;
  const facts = { name, number: opened.point.number, chunks: damagedChunks };
  return session.fail(new CliError({ code: 'POINT_DAMAGED', ...facts }));
}

async function restore(
  session: Session,
  text: string,
  path: string,
  delta: boolean,
): Promise<number> {
  const { name, point } = named(text);
  const signal = session.machinery.interrupted();
  const { opened, events } = await open(session, name, { what: 'read', point, from: null }, signal);
  const { sizeBytes } = opened.point;
  const progress = progressOf(session);
  const request = {
    ...{ path, delta, sizeBytes, signal },
    onProgress: ({ doneBytes }: RestoreCounts) =>
      progress(`${humanBytes(doneBytes)} of ${humanBytes(sizeBytes)} restored`),
  };
  let begun = false;
  const chunks = chunksOf(events, () => {
    begun = true;
  });
  let counts: RestoreCounts;
  try {
    counts = await session.machinery.restoreTo(chunks, request);
  } catch (cause) {
    if (signal.aborted) throw new CliError({ code: 'RESTORE_STOPPED', path }, { cause });
    if (begun) session.note(`${path} is not whole; once that is mended, --delta goes on with it`);
    throw cause;
  }
  session.print(
    { point: opened.point, path, ...counts },
    renderRestored(name, opened, path, counts),
  );
  return EXIT.ok;
}

async function diff(session: Session, older: string, newer: string): Promise<number> {
  const [one, other] = [named(older), named(newer)];
  if (one.name !== other.name) {
    const why = `it is a point of ${other.name}, the first one is of ${one.name}`;
    throw badPoint(newer, why);
  }
  const { name } = one;
  const request = { what: 'diff' as const, point: other.point, from: one.point };
  const signal = session.machinery.interrupted();
  const { opened, events } = await open(session, name, request, signal);
  const listed: { offset: number; length: number }[] = [];
  let [bytes, ranges] = [0, 0];
  for await (const event of events) {
    if (event.event !== 'ranges') continue;
    for (const [offset, length] of event.ranges) {
      bytes += length;
      ranges += 1;
      if (listed.length < RANGES_LISTED_MAX) listed.push({ offset, length });
    }
  }
  const { from, point } = opened;
  const answer = { from, point, bytes, ranges, listed };
  session.print(answer, renderDifferences(name, answer));
  return EXIT.ok;
}

async function serve(session: Session, text: string): Promise<number> {
  const { name, point } = named(text);
  const signal = session.machinery.interrupted();
  const { opened, events } = await open(
    session,
    name,
    { what: 'serve', point, from: null },
    signal,
  );
  session.print({ point: opened.point, uri: opened.uri }, renderServed(name, opened));
  try {
    for await (const _event of events);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return EXIT.ok;
}

interface OpenPoint {
  readonly opened: Opened;
  /** The others. */
  readonly events: AsyncIterable<PointEvent>;
}

async function open(
  session: Session,
  name: string,
  request: PointRequest,
  signal: AbortSignal,
): Promise<OpenPoint> {
  const client = await session.client();
  const events = client.point(name, request, signal)[Symbol.asyncIterator]();
  const first = await events.next();
  if (first.done === true || first.value.event !== 'opened') {
    const text = 'hastd began the answer with something else than a point';
    throw new ControlError({ code: 'CONTROL_FAILED', text });
  }
  return { opened: first.value, events: { [Symbol.asyncIterator]: () => events } };
}

/** Each chunk by itself, in order. `onBegin`: somebody wants them. */
async function* chunksOf(
  events: AsyncIterable<PointEvent>,
  onBegin: () => void,
): AsyncGenerator<PointChunk> {
  onBegin();
  for await (const event of events) {
    if (event.event !== 'chunks') continue;
    const { first, count, carried, bytes } = event;
    let at = 0;
    for (let chunk = first, next = 0; chunk < first + count; chunk += 1) {
      if (carried[next] !== chunk) {
        yield { chunk, bytes: null };
        continue;
      }
      next += 1;
      // The last chunk of the disk may be short; it is the last one of its event then.
      const length = Math.min(bytes.length - at, CHUNK_BYTES);
      yield { chunk, bytes: bytes.subarray(at, at + length) };
      at += length;
    }
  }
}

function named(text: string): { readonly name: string; readonly point: string } {
  const { what, point } = splitAtPoint(text);
  if (point !== null && point !== '' && what !== '') return { name: what, point };
  throw badPoint(text, 'a point is written RESOURCE@POINT, such as vm1@latest');
}

const badPoint = (value: string, text: string) =>
  new CliError({ code: 'CLI_BAD_VALUE', option: 'point', value, text });

/** Says how far it is, now and then. */
function progressOf(session: Session): (text: string) => void {
  const { clock } = session.machinery;
  let saidMs = clock.monotonicMs();
  return (text) => {
    const nowMs = clock.monotonicMs();
    if (session.options.json || nowMs - saidMs < LINE_MS_MIN) return;
    saidMs = nowMs;
    session.note(text);
  };
}
