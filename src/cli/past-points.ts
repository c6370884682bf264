// What hastd keeps of the past of a resource: restore, diff, verify and serve of a point of a
// secondary. Its hastd reads it and verifies each chunk before it leaves it (Q1); the disk that a
// restore writes is hastctl's own, with the rights of who calls it.
import { CHUNK_BYTES } from '../base/units.js';
import type { PointEvent, PointRecord, PointRequest } from '../control/api.js';
import { ControlError } from '../control/api.js';
import { EXIT } from '../control/exit-status.js';
import type { PointChunk } from '../restore/chunk-source.js';
import type { ResourcePoint } from './archive-address.js';
import { CliError } from './fault.js';
import { showWork } from './progress.js';
import {
  DIFF_RANGES_MAX,
  renderDifferences,
  renderPointChecked,
  servedNotes,
} from './render-points.js';
import { type RestoreWords, restoring } from './restoring.js';
import type { Session } from './session.js';

/** Damaged chunks that are named. */
const BAD_NAMED_MAX = 16;

type Bad = Extract<PointEvent, { event: 'bad' }>;

/** `hastctl restore vm1@42 PATH`. */
export async function restorePast(
  session: Session,
  of: ResourcePoint,
  words: RestoreWords,
): Promise<number> {
  const verify = `what is damaged, says: hastctl verify ${words.written}`;
  return await restoring(session, words, verify, (order, signal) =>
    opened(session, of, { what: 'read', from: null }, signal, async ({ point }, events) => {
      const { id, number, time, sizeBytes, damagedChunks } = point;
      const facts = { id, number, time };
      const mark = { hastRestore: 1 as const, archive: of.name, point: facts, sizeBytes };
      const { restoreChunks } = session.machinery;
      const counts = await restoreChunks(chunksOf(events), mark, order(number));
      return { of: { resource: of.name }, point: facts, damagedChunks, counts };
    }),
  );
}

/** `hastctl verify vm1@42`: every chunk of the point is read and verified. */
export async function verifyPast(session: Session, of: ResourcePoint): Promise<number> {
  const { name, point: written } = of;
  const signal = session.machinery.interrupted();
  const work = showWork(session, `${name}@${written.text}`);
  const damaged: Omit<Bad, 'event'>[] = [];
  let [damagedChunks, chunks] = [0, 0];
  const read = async ({ point }: Head, events: AsyncIterable<PointEvent>): Promise<PointRecord> => {
    for await (const event of events) {
      if (event.event === 'bad') {
        damagedChunks += 1;
        const { event: _event, ...place } = event;
        if (damaged.length < BAD_NAMED_MAX) damaged.push(place);
      }
      if (event.event !== 'checked') continue;
      ({ chunks } = event);
      work.show(chunks, event.totalChunks, false);
    }
    return point;
  };
  let point: PointRecord;
  try {
    point = await opened(session, of, { what: 'check', from: null }, signal, read);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new CliError({ code: 'VERIFY_STOPPED', what: `${name}@${written.text}` });
  } finally {
    work.end();
  }
  const answer = { resource: name, point, chunks, damagedChunks, damaged };
  session.print(answer, renderPointChecked(name, answer));
  if (damagedChunks === 0) return EXIT.ok;
  const facts = { name, number: point.number, chunks: damagedChunks };
  return session.fail(new CliError({ code: 'POINT_DAMAGED', ...facts }));
}

/** `hastctl diff vm1@41 vm1@42`. Error CLI_USAGE: they are of two resources. */
export async function diffPast(
  session: Session,
  one: ResourcePoint,
  other: ResourcePoint,
): Promise<number> {
  const { name } = one;
  if (other.name !== name) {
    const text = `two points of one resource are compared, not of ${name} and ${other.name}`;
    throw new CliError({ code: 'CLI_USAGE', text });
  }
  const request = { what: 'diff' as const, from: one.point.text };
  const { signal } = new AbortController();
  return await opened(session, other, request, signal, async ({ from, point }, events) => {
    if (from === null) throw malformed('one point, where two are compared');
    const ranges: { offset: number; length: number }[] = [];
    let [differingBytes, count] = [0, 0];
    for await (const event of events) {
      if (event.event !== 'ranges') continue;
      for (const [offset, length] of event.ranges) {
        differingBytes += length;
        count += 1;
        if (ranges.length < DIFF_RANGES_MAX) ranges.push({ offset, length });
      }
    }
    const points = [from, point].map(({ id, number, time, sizeBytes }) => {
      return { resource: name, id, number, time, sizeBytes };
    });
    const list = { points, differingBytes, ranges, rangesLeftOut: count - ranges.length };
    session.print(list, renderDifferences(list, [name, name], 'blocks of 4 KiB'));
    return EXIT.ok;
  });
}

/** `hastctl serve vm1@42`: hastd serves it until this is interrupted. */
export async function servePast(session: Session, of: ResourcePoint): Promise<number> {
  const signal = session.machinery.interrupted();
  const request = { what: 'serve' as const, from: null };
  try {
    return await opened(session, of, request, signal, async ({ point, uri }, events) => {
      if (uri === null) throw malformed('a point that is served without an address');
      const { number, time, sizeBytes } = point;
      const served = { uri, resource: of.name, number, time, sizeBytes, readOnly: true };
      for (const line of servedNotes(served, '')) session.note(line);
      session.print(served, `${uri}\n`);
      for await (const _event of events);
      return EXIT.ok;
    });
  } catch (error) {
    if (!signal.aborted) throw error;
    return EXIT.ok;
  }
}

type Head = Extract<PointEvent, { event: 'opened' }>;

/** Has the point read for as long as `work` takes. */
async function opened<T>(
  session: Session,
  { name, point }: ResourcePoint,
  request: Omit<PointRequest, 'point'>,
  signal: AbortSignal,
  work: (head: Head, events: AsyncIterable<PointEvent>) => Promise<T>,
): Promise<T> {
  const client = await session.client();
  const asked = client.point(name, { ...request, point: point.text }, signal);
  const events = asked[Symbol.asyncIterator]();
  const first = await events.next();
  if (first.done === true || first.value.event !== 'opened') {
    throw malformed('something else than a point');
  }
  try {
    return await work(first.value, { [Symbol.asyncIterator]: () => events });
  } finally {
    await events.return?.();
  }
}

const malformed = (what: string) =>
  new ControlError({ code: 'CONTROL_FAILED', text: `hastd answered with ${what}` });

/** Each chunk by itself, in order. */
async function* chunksOf(events: AsyncIterable<PointEvent>): AsyncGenerator<PointChunk> {
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
