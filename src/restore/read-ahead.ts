// What to read before it is asked for: a guest that reads on where it stopped gets a window ahead
// of it, which doubles as long as it does; one that skips halves it; one that jumps begins anew,
// with none. Several readers are told apart. Pure; numbers are chunks.
import type { ChunkIndex } from '../base/units.js';

/** The first window: of the second read that goes on. */
const WINDOW_MIN = 4;
/** 8 MiB: at 100 ms a request that is 80 MB/s of one reader. */
export const WINDOW_MAX = 128;
/** Readers told apart. */
const STREAMS_MAX = 8;

interface Stream {
  /** Behind the last read. */
  next: ChunkIndex;
  window: number;
  /** Up to here it has been asked for. */
  ahead: ChunkIndex;
}

export interface Ahead {
  readonly first: ChunkIndex;
  readonly count: number;
}

export class ReadAhead {
  /** The one that read last is the last. */
  readonly #streams: Stream[] = [];
  readonly #windowMax: number;

  constructor(windowMax: number = WINDOW_MAX) {
    this.#windowMax = Math.min(windowMax, WINDOW_MAX);
  }

  /** After a read of chunks first..last; null: nothing is wanted. */
  after(first: ChunkIndex, last: ChunkIndex): Ahead | null {
    const at = this.#streams.findIndex(
      ({ next, window }) => first >= next - Math.max(1, window) && first <= next + window,
    );
    const [stream] = at < 0 ? [] : this.#streams.splice(at, 1);
    if (stream === undefined) {
      this.#streams.push({ next: last + 1, window: 0, ahead: last + 1 });
      if (this.#streams.length > STREAMS_MAX) this.#streams.shift();
      return null;
    }
    this.#streams.push(stream);
    if (last < stream.next) return null; // again, or a little late
    const grown = stream.window === 0 ? Math.max(WINDOW_MIN, last - first + 1) : 2 * stream.window;
    stream.window = first <= stream.next ? Math.min(this.#windowMax, grown) : stream.window >> 1;
    stream.next = last + 1;
    stream.ahead = Math.max(stream.ahead, stream.next);
    const end = stream.next + stream.window;
    if (end - stream.ahead < stream.window / 2 || stream.window === 0) return null;
    const ahead = { first: stream.ahead, count: end - stream.ahead };
    stream.ahead = end;
    return ahead;
  }
}
