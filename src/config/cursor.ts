// A place in the tokens of a file, and the steps over them that know no setting: looking ahead, and
// skipping whole blocks. Guarantee: it never goes back, nor beyond the `end` token.
import { assert, present } from '../base/assert.js';
import type { Token } from './lex.js';

/** True for what can be a name or a value. */
export const isText = (token: Token): boolean =>
  token.kind === 'word' || token.kind === 'number' || token.kind === 'string';

export class Cursor {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    assert(tokens.at(-1)?.kind === 'end', 'the lexer ends with an end token');
    this.#tokens = tokens;
  }

  peek(ahead = 0): Token {
    const index = Math.min(this.#at + ahead, this.#tokens.length - 1);
    return present(this.#tokens[index], 'there is an end token');
  }

  step(): void {
    this.#at += 1;
  }

  /** True when the token here and what follows it look like `WORD [NAME] {`. */
  opensBlock(): boolean {
    const next = this.peek(1);
    return next.kind === '{' || (isText(next) && this.peek(2).kind === '{');
  }

  /** Skips `WORD [NAME] { ... }`, or the word alone. */
  skipBlock(): void {
    const opens = this.opensBlock();
    this.step();
    if (!opens) return;
    if (this.peek().kind !== '{') this.step();
    this.skipBraces();
  }

  /** Skips from `{` to its `}` or the end of the file. */
  skipBraces(): void {
    assert(this.peek().kind === '{', 'a block begins here');
    let depth = 0;
    do {
      const { kind } = this.peek();
      if (kind === 'end') return;
      if (kind === '{') depth += 1;
      if (kind === '}') depth -= 1;
      this.step();
    } while (depth > 0);
  }
}
