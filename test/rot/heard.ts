// Everything that an operator can hear of a trial: lines of the log from `warn` on, and errors that
// were thrown. A damage counts as named when one line has the name of the file, and says more.
import { describeError } from '../../src/base/errors.js';
import type { Fields, Log } from '../../src/base/log.js';

export class Heard {
  lines: string[] = [];

  readonly log: Log = this.#logOf({});

  error(error: unknown): void {
    this.lines.push(describeError(error));
  }

  /** The line that names `file`; null: nobody has heard of it. */
  naming(file: string): string | null {
    return this.lines.find((line) => line.includes(file)) ?? null;
  }

  /** The line that is like this. */
  matching(pattern: RegExp): string | null {
    return this.lines.find((line) => pattern.test(line)) ?? null;
  }

  #logOf(known: Fields): Log {
    const say = (sentence: string, fields: Fields = {}): void => {
      this.lines.push(`${sentence} ${JSON.stringify({ ...known, ...fields })}`);
    };
    const nothing = (): void => {};
    const child = (fields: Fields): Log => this.#logOf({ ...known, ...fields });
    return { debug: nothing, info: nothing, warn: say, error: say, child };
  }
}
