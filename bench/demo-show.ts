// What the demonstration says while it runs: short lines with the seconds since its start, a
// progress line that is drawn over on a terminal, and the table at the end.
import type { Clock } from '../src/base/clock.js';
import { humanBytes } from '../src/base/units.js';
import { columns } from '../src/cli/text.js';
import type { RoundRecord } from '../src/control/api.js';

/** Not on a terminal, a progress line appears no more often. */
const PROGRESS_MS_MIN = 3000;
const CLEAR_LINE = '\r\u001b[K';

export class Show {
  readonly #clock: Clock;
  readonly #terminal: boolean;
  readonly #out: (text: string) => void;
  readonly #beganMs: number;
  #drawn = false;
  #progressMs = 0;

  constructor(clock: Clock, terminal: boolean, out: (text: string) => void) {
    this.#clock = clock;
    this.#terminal = terminal;
    this.#out = out;
    this.#beganMs = clock.monotonicMs();
  }

  /** Without a time. */
  plain(text: string): void {
    this.#clear();
    this.#out(`${text}\n`);
  }

  line(text: string): void {
    this.plain(`${this.#seconds()}     ${text}`);
  }

  /** The begin of step `number`. */
  step(number: number, text: string): void {
    this.plain(`${this.#seconds()}  ${number}  ${text}`);
  }

  progress(text: string): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#terminal) {
      this.#out(`${CLEAR_LINE}${this.#seconds()}     ${text}`);
      this.#drawn = true;
    } else if (nowMs - this.#progressMs >= PROGRESS_MS_MIN) {
      this.#progressMs = nowMs;
      this.line(text);
    }
  }

  #clear(): void {
    if (this.#drawn) this.#out(CLEAR_LINE);
    this.#drawn = false;
  }

  #seconds(): string {
    const seconds = (this.#clock.monotonicMs() - this.#beganMs) / 1000;
    return `${seconds.toFixed(1).padStart(6)} s`;
  }
}

/** A line of the table: a round, or the comparison, which has no sizes. */
export interface Row {
  readonly step: string;
  readonly round: RoundRecord | null;
  readonly seconds: number;
  readonly verdict: string;
  readonly good: boolean;
}

const HEADER = [
  'Step',
  'Written by guest',
  'Dirty',
  'Skipped',
  'Sent',
  'On the wire',
  'Seconds',
  'Verdict',
];

export function table(rows: readonly Row[]): string {
  const cells = rows.map(({ step, round, seconds, verdict, good }) => [
    step,
    ...(round === null ? ['', '', '', '', ''] : sizesOf(round)),
    seconds.toFixed(1),
    good ? verdict : `WRONG: ${verdict}`,
  ]);
  return columns([HEADER, ...cells]).trimEnd();
}

const sizesOf = (round: RoundRecord): string[] =>
  [
    round.guestBytes,
    round.dirtyBytes,
    round.skippedBytes,
    round.sentBytes,
    round.wireUpBytes + round.wireDownBytes,
  ].map(humanBytes);
