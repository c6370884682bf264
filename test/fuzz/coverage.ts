// Which blocks of src/ have ever run, by V8's own precise coverage (node:inspector), to keep an
// input that reaches a new one. Guarantee: what was seen once is never new again. Counting must
// begin before the code is hot: what V8 has inlined by then is not counted. One counter a process.
// A look costs about a millisecond, so the engine looks after some inputs, not after each.
import { Session } from 'node:inspector';

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: readonly {
    readonly functionName: string;
    readonly ranges: readonly Range[];
  }[];
}

/** Pieces of a function's text, from and to, ascending. */
type Pieces = readonly (readonly [number, number])[];

export class Coverage {
  readonly #session = new Session();
  readonly #isOurs: (url: string) => boolean;
  /** Of each function that has run: what of it never has. */
  #never = new Map<string, Pieces>();

  /** `isOurs` says of which scripts. */
  constructor(isOurs: (url: string) => boolean) {
    this.#isOurs = isOurs;
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** True when something ran since the last look that never had. */
  look(): boolean {
    let news = false;
    for (const { url, functions } of this.#take()) {
      for (const { ranges } of functions) if (this.#merge(url, ranges)) news = true;
    }
    return news;
  }

  /** Forgets what ran since the last look. */
  skip(): void {
    this.#take();
  }

  /** A copy of what is known, and back to it. */
  mark(): ReadonlyMap<string, Pieces> {
    return new Map(this.#never);
  }

  reset(mark: ReadonlyMap<string, Pieces> = new Map()): void {
    this.#never = new Map(mark);
  }

  /** Names of the functions that ran since the last look, by script. */
  called(): ReadonlyMap<string, ReadonlySet<string>> {
    const found = new Map<string, Set<string>>();
    for (const { url, functions } of this.#take()) {
      const names = functions.filter(({ ranges }) => (ranges[0]?.count ?? 0) > 0);
      found.set(url, new Set(names.map((one) => one.functionName)));
    }
    return found;
  }

  close(): void {
    this.#session.post('Profiler.stopPreciseCoverage');
    this.#session.disconnect();
  }

  #take(): readonly Script[] {
    let scripts: readonly Script[] = [];
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error) throw error;
      scripts = answer.result;
    });
    return scripts.filter(({ url }) => this.#isOurs(url));
  }

  #merge(url: string, ranges: readonly Range[]): boolean {
    const [whole] = ranges;
    if (whole === undefined || whole.count === 0) return false;
    const key = `${url}:${whole.startOffset}:${whole.endOffset}`;
    const idle = idlePieces(ranges);
    const before = this.#never.get(key);
    if (before === undefined) {
      this.#never.set(key, idle);
      return true;
    }
    const after = common(before, idle);
    if (sum(after) === sum(before)) return false;
    this.#never.set(key, after);
    return true;
  }
}

/** What did not run: ranges nest, the innermost counts. */
function idlePieces(ranges: readonly Range[]): Pieces {
  let idle: (readonly [number, number])[] = [];
  for (const { startOffset, endOffset, count } of ranges) {
    idle = idle.flatMap(([from, to]): (readonly [number, number])[] => [
      ...(from < startOffset ? [[from, Math.min(to, startOffset)] as const] : []),
      ...(to > endOffset ? [[Math.max(from, endOffset), to] as const] : []),
    ]);
    if (count === 0) idle.push([startOffset, endOffset]);
  }
  return idle.sort((a, b) => a[0] - b[0]);
}

function common(a: Pieces, b: Pieces): Pieces {
  const found: (readonly [number, number])[] = [];
  for (const [from, to] of a) {
    for (const [start, end] of b) {
      const [low, high] = [Math.max(from, start), Math.min(to, end)];
      if (low < high) found.push([low, high]);
    }
  }
  return found;
}

const sum = (pieces: Pieces): number => pieces.reduce((all, [from, to]) => all + to - from, 0);
