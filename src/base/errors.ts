// Errors of the world: a code plus the facts somebody needs at three in the morning.
// Every module declares its faults as a union over `code` and makes its class with `errorClass`,
// which also fixes the sentence of each code. Decide on codes, never on message text.
// Every code stands in a man page (test/tidy.test.ts).

/** What went wrong, as data: `code` names it, the other fields are facts, units in their names. */
export interface Fault {
  readonly code: string;
}

/** Base of all typed errors. `fault` is the data, `message` the sentence for people. */
export abstract class HastError extends Error {
  abstract readonly fault: Fault;
}

type Sentences<F extends Fault> = {
  readonly [C in F['code']]: (fault: Extract<F, { code: C }>) => string;
};

/** Makes an error class for a union of faults; a sentence says what, on what, what to try. */
export function errorClass<F extends Fault>(name: string, sentences: Sentences<F>) {
  return class extends HastError {
    readonly fault: F;
    constructor(fault: F, options?: ErrorOptions) {
      const sentence = sentences[fault.code as F['code']] as (fault: F) => string;
      super(sentence(fault), options);
      this.name = name;
      this.fault = fault;
    }
  };
}

/** The code of a typed error, the errno name of a system error, else null. */
export function codeOf(error: unknown): string | null {
  if (error instanceof HastError) return error.fault.code;
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return null;
}

/** One line for people: the sentence and, where it adds something, its causes. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  let line = wordsOf(error, '');
  let cause: unknown = error.cause;
  for (let depth = 0; cause instanceof Error && depth < CAUSES_SHOWN_MAX; depth += 1) {
    const words = wordsOf(cause, line);
    if (!line.includes(words)) line += `: ${words}`;
    cause = cause.cause;
  }
  return line;
}

const CAUSES_SHOWN_MAX = 4;

/** What an error adds to the line before it; nothing is ''. */
function wordsOf(error: Error, before: string): string {
  const code = error instanceof HastError ? null : codeOf(error);
  if (code === null) return error.message;
  // OpenSSL's own line is numbers and file names, and ends with a line end; who threw the error
  // above it has said what it means.
  if (code.startsWith('ERR_SSL_')) {
    if (before !== '') return '';
    return `TLS failed: ${'reason' in error ? String(error.reason) : code}`;
  }
  if (before === '' || !before.includes(code)) return error.message;
  // `ENOENT: no such file or directory, open '/etc/x'` after a sentence that has ENOENT.
  return SYSTEM_WORDS.exec(error.message)?.[1] ?? '';
}

const SYSTEM_WORDS = /^E[A-Z0-9]+: ([^,]+), \w+/;
