// Words of a configuration file, as HAST's token.l cuts them, plus quoted strings.
//   word    one or more of A-Z a-z 0-9 . - _ / : [ ]      number   a word of digits only
//   share   a number with %, taken as a word: 1% 0.5%
//   "..."   any printable character; \" and \\ inside     #        comment to the end of the line
// White space and line ends only separate. Guarantee: never throws, reads each character once, and
// always ends with an `end` token; what cannot be a token is a finding and is skipped.
import { type Findings, type Place, shown } from './finding.js';

export type TokenKind = 'word' | 'number' | 'string' | '{' | '}' | 'end';

export interface Token extends Place {
  readonly kind: TokenKind;
  /** Without quotes and escapes; empty at the end of the file. */
  readonly text: string;
}

/** Longest value: PATH_MAX of Linux. */
export const VALUE_CHARACTERS_MAX = 4096;

const BLANK = /[ \t\r\f\v]+|#[^\n]*/y;
const WORD = /[0-9]+(?:\.[0-9]+)?%|[A-Za-z0-9.\-_/:[\]]+/y;
const STRAY = /[^ \t\r\f\v\n#"{}A-Za-z0-9.\-_/:[\]]+/y;

/** All tokens of `text`. */
export function lex(text: string, findings: Findings): readonly Token[] {
  const tokens: Token[] = [];
  // A byte order mark is not part of the first line.
  let at = text.startsWith('\uFEFF') ? 1 : 0;
  let line = 1;
  let lineStart = at;
  const match = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? null;
  };
  while (at < text.length) {
    const place = { line, column: at - lineStart + 1 };
    const character = text[at];
    if (character === '\n') {
      at += 1;
      line += 1;
      lineStart = at;
    } else if (character === '{' || character === '}') {
      tokens.push({ ...place, kind: character, text: character });
      at += 1;
    } else if (character === '"') {
      const { end, value } = quoted(text, at, place, findings);
      tokens.push({ ...place, kind: 'string', text: value });
      at = end;
    } else {
      const word = match(WORD);
      if (word !== null) tokens.push({ ...place, ...checkedWord(word, place, findings) });
      const skipped = word ?? match(BLANK) ?? stray(match(STRAY) ?? '?', place, findings);
      at += skipped.length;
    }
  }
  tokens.push({ line, column: at - lineStart + 1, kind: 'end', text: '' });
  return tokens;
}

function checkedWord(
  word: string,
  place: Place,
  findings: Findings,
): { kind: 'word' | 'number'; text: string } {
  if (word.length > VALUE_CHARACTERS_MAX) {
    findings.error(place, 'file', tooLong(word.length));
    return { kind: 'word', text: word.slice(0, VALUE_CHARACTERS_MAX) };
  }
  return { kind: /^[0-9]+$/.test(word) ? 'number' : 'word', text: word };
}

const tooLong = (characters: number): string =>
  `a value of ${characters} characters is longer than the ${VALUE_CHARACTERS_MAX} allowed`;

/** The string that opens at `at`; it ends at its quote, else at the end of the line. */
function quoted(
  text: string,
  at: number,
  place: Place,
  findings: Findings,
): { end: number; value: string } {
  let value = '';
  let end = at + 1;
  let fault: string | null = null;
  for (; ; end += 1) {
    const character = text[end];
    if (character === undefined || character === '\n') {
      fault = 'a quoted string must end on its line; write the closing "';
      break;
    }
    if (character === '"') break;
    if (character === '\\') {
      end += 1;
      const escaped = text[end];
      if (escaped === '"' || escaped === '\\') value += escaped;
      else {
        fault ??=
          'in quotes only \\" and \\\\ may follow a backslash; write \\\\ for one backslash';
        end -= 1;
      }
    } else if (isControl(character)) {
      fault ??= 'a control character cannot stand in a value; remove it';
    } else value += character;
  }
  if (value.length > VALUE_CHARACTERS_MAX) fault ??= tooLong(value.length);
  if (fault !== null) findings.error(place, 'file', fault);
  const closed = text[end] === '"';
  return { end: closed ? end + 1 : end, value: value.slice(0, VALUE_CHARACTERS_MAX) };
}

const isControl = (character: string): boolean => character < ' ' || character === '\x7f';

/** Reports characters that belong to nothing; flex would echo them and go on. Returns them. */
function stray(characters: string, place: Place, findings: Findings): string {
  if (/^;+$/.test(characters)) {
    findings.note(place, 'file', '; is not needed: a statement ends by itself');
  } else if (characters === '=') {
    findings.error(place, 'file', '= does not stand between a setting and its value; remove it');
  } else {
    const what = `${shown(characters)} can stand only inside quotes`;
    findings.error(place, 'file', `${what}; write the whole value as "..."`);
  }
  return characters;
}
