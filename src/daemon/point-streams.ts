// What an operator asks of a point, on the control thread: the round thread reads, step by step as
// fast as the client takes the answer; here it becomes events. However it ends, by its end, an
// error, or a client that goes away, the point is closed, and its export withdrawn.
import { unlessAborted } from '../base/sync.js';
import type { PointEvent, PointRequest } from '../control/api.js';
import { ExportError, type Exports } from './exports.js';
import type { Peer } from './thread-calls.js';
import type { OpenedPoint, RoundThread } from './thread-messages.js';

export interface PointStreamsParts {
  readonly exports: Exports;
  readonly rounds: Peer<RoundThread>;
}

export class PointStreams {
  readonly #parts: PointStreamsParts;
  /** NBD connections to points, by number: what to call when one has ended. */
  readonly #guests = new Map<number, () => void>();
  #connections = 0;

  constructor(parts: PointStreamsParts) {
    this.#parts = parts;
  }

  /** `exportName`: of the resource. Errors of openPoint and of what is read. */
  async *events(
    name: string,
    exportName: string,
    { what, point, from }: PointRequest,
    signal: AbortSignal,
  ): AsyncGenerator<PointEvent> {
    const { rounds } = this.#parts;
    const opened = await rounds.call('openPoint', name, point, what === 'diff' ? from : null);
    try {
      const head = { event: 'opened' as const, point: opened.point, from: opened.from };
      if (what === 'serve') {
        yield* this.#serve(opened, `${exportName}@${opened.point.number}`, head, signal);
        return;
      }
      yield { ...head, uri: null };
      if (what === 'read') yield* this.#read(opened, signal);
      else if (what === 'check') yield* this.#check(opened, signal);
      else yield* this.#diff(opened, signal);
    } finally {
      await rounds.call('closePoint', opened.id);
    }
  }

  guestGone(connection: number): void {
    this.#guests.get(connection)?.();
    this.#guests.delete(connection);
  }

  async *#read(opened: OpenedPoint, signal: AbortSignal): AsyncGenerator<PointEvent> {
    for (let first = 0; first < opened.chunks && !signal.aborted; ) {
      const group = await this.#parts.rounds.call('pointChunks', opened.id, first);
      yield { event: 'chunks', ...group };
      first += group.count;
    }
  }

  async *#check(opened: OpenedPoint, signal: AbortSignal): AsyncGenerator<PointEvent> {
    for (let first = 0; first < opened.chunks && !signal.aborted; ) {
      const { bad, ...done } = await this.#parts.rounds.call('checkPoint', opened.id, first);
      for (const each of bad) yield { event: 'bad', ...each };
      yield { event: 'checked', ...done };
      first = done.chunks;
    }
  }

  async *#diff(opened: OpenedPoint, signal: AbortSignal): AsyncGenerator<PointEvent> {
    while (!signal.aborted) {
      const ranges = await this.#parts.rounds.call('pointRanges', opened.id);
      if (ranges === null) return;
      yield { event: 'ranges', ranges: ranges.map(({ offset, length }) => [offset, length]) };
    }
  }

  /** Until the client goes away, or the point cannot be read any more. */
  async *#serve(
    { id, sizeBytes }: OpenedPoint,
    name: string,
    head: Pick<Extract<PointEvent, { event: 'opened' }>, 'event' | 'point' | 'from'>,
    signal: AbortSignal,
  ): AsyncGenerator<PointEvent> {
    const { exports, rounds } = this.#parts;
    const uri = exports.uriOf(name);
    if (uri === null) throw new ExportError({ code: 'EXPORT_NOWHERE', name });
    if (exports.has(name)) throw new ExportError({ code: 'EXPORT_TAKEN', name, uri });
    exports.offer({ name, sizeBytes, readOnly: true, contexts: [] }, async (connection) => {
      const { fd, leftover, agreement, done } = connection;
      this.#connections += 1;
      const number = this.#connections;
      this.#guests.set(number, done);
      try {
        await rounds.call('connectPoint', id, number, fd, leftover, agreement);
      } catch (error) {
        this.#guests.delete(number);
        throw error;
      }
    });
    try {
      yield { ...head, uri };
      const ended = await unlessAborted(signal, rounds.call('pointEnded', id));
      if (ended !== 'aborted') throw new ExportError({ code: 'EXPORT_GONE', name });
    } finally {
      exports.withdraw(name);
    }
  }
}
