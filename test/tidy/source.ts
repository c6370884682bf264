// Source text as the guard of style sees it, without a compiler: comments and strings are blanked
// out character by character, so that line numbers stay; what a file imports; how long its
// functions are (by the indentation that the formatter guarantees).
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's top folder, as seen from the compiled file. */
export const top = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

export interface Source {
  /** Path below the top folder, with '/'. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** Without comments. */
  readonly code: string;
  /** Without comments and without what stands in quotes. */
  readonly bare: string;
}

export interface Import {
  /** Path below the top folder of the imported source, or the name of a package. */
  readonly to: string;
  readonly line: number;
  readonly typeOnly: boolean;
}

/** All sources below a folder with one of these endings, sorted; none where it does not exist. */
export function sourcesIn(folder: string, ...endings: string[]): Source[] {
  let names: string[] = [];
  try {
    names = readdirSync(join(top, folder), { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
  return names
    .filter((name) => endings.some((ending) => name.endsWith(ending)))
    .sort()
    .map((name) => sourceOf(`${folder}/${name}`, readFileSync(join(top, folder, name), 'utf8')));
}

export function sourceOf(path: string, text: string): Source {
  const { code, bare } = blank(text);
  return { path, text, lines: text.split('\n'), code, bare };
}

/** Line number, from 1, of a position. */
export const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** `path:line: what matched` for each match of a pattern. */
export function hits(source: Source, text: string, pattern: RegExp): string[] {
  const all = text.matchAll(new RegExp(pattern.source, 'g'));
  return [...all].map(
    (match) => `${source.path}:${lineAt(text, match.index)}: ${match[0].trim().slice(0, 60)}`,
  );
}

const IMPORT =
  /\b(?:(import|export)\s+(type\s)?([^'";]*?)\bfrom\s*|import\s*(\()?\s*|new URL\(\s*)'([^']+)'/g;

/** Imports, exports from, dynamic imports, worker entries; resolved to sources where relative. */
export function importsOf(source: Source): Import[] {
  return [...source.code.matchAll(IMPORT)].map((match) => {
    const [, , typeWord, names = '', , to = ''] = match;
    const single = names.match(/^\s*\{(.*)\}\s*$/s)?.[1]?.split(',');
    const allTypes = single?.every((name) => /^\s*(type\s|$)/.test(name)) ?? false;
    const relative = to.startsWith('.');
    const path = posix.join(posix.dirname(source.path), to).replace(/\.js$/, '.ts');
    return {
      to: relative ? path : to,
      line: lineAt(source.code, match.index),
      typeOnly: typeWord !== undefined || (single !== undefined && allTypes),
    };
  });
}

const CONTROL_WORDS = /^\s*(if|for|while|switch|catch|do|else|try|finally|class|interface)\b/;
const OPENS_FUNCTION =
  /\bfunction\b.*[({]$|=> \{$|^\s*[\w$#*\s]+(<.*>)?\(.*(\{|\()$|^\s*[\w$#*\s]+\($/;

/** Functions of more than `linesMax` lines: first line and length. */
export function longFunctions(source: Source, linesMax: number): { line: number; lines: number }[] {
  const found: { line: number; lines: number }[] = [];
  const lines = source.bare.split('\n').map((line) => line.trimEnd());
  for (const [start, line] of lines.entries()) {
    if (line === '' || CONTROL_WORDS.test(line) || !OPENS_FUNCTION.test(line)) continue;
    const indent = line.slice(0, line.length - line.trimStart().length);
    // The first line at the same indent that closes a brace; a signature's `): T {` is passed over.
    for (let end = start + 1; end < lines.length; end += 1) {
      const other = lines[end] ?? '';
      if (!other.startsWith(indent) || /^\s/.test(other.slice(indent.length)) || other === '') {
        continue;
      }
      const tail = other.slice(indent.length);
      if (tail.startsWith(')') && tail.endsWith('{')) continue;
      if (tail.startsWith('}') && end - start + 1 > linesMax) {
        found.push({ line: start + 1, lines: end - start + 1 });
      }
      break;
    }
  }
  return found;
}

/** What begins a regular expression rather than a division: nothing, or one of these before it. */
const BEFORE_REGEX = /(^|[(,=:[!&|?{};+]|\breturn|=>)\s*$/;
const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`|\/|\{|\}/g;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y;

/** The text without comments (`code`) and also without quoted text (`bare`), same length. */
function blank(text: string): { code: string; bare: string } {
  let [code, bare] = ['', ''];
  const spaces = (piece: string): string => piece.replace(/[^\n]/g, ' ');
  const braces: ('brace' | 'template')[] = [];
  let at = 0;
  const take = (end: number, kind: 'code' | 'comment' | 'quote'): void => {
    const piece = text.slice(at, end);
    code += kind === 'comment' ? spaces(piece) : piece;
    bare += kind === 'code' ? piece : spaces(piece);
    at = end;
  };
  /** From inside a template to its end or to the next `${`. */
  const template = (): void => {
    let end = at;
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) {
      end += text[end] === '\\' ? 2 : 1;
    }
    if (text[end] === '$') braces.push('template');
    take(Math.min(text.length, end + (text[end] === '$' ? 2 : 1)), 'quote');
  };
  for (;;) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) break;
    const [token] = match;
    take(match.index, 'code');
    if (token.startsWith('//') || token.startsWith('/*')) take(at + token.length, 'comment');
    else if (token.startsWith("'") || token.startsWith('"')) take(at + token.length, 'quote');
    else if (token === '/') {
      REGEX.lastIndex = at;
      const isRegex = BEFORE_REGEX.test(bare.slice(-40)) && REGEX.test(text);
      take(isRegex ? REGEX.lastIndex : at + 1, isRegex ? 'quote' : 'code');
    } else if (token === '`' || (token === '}' && braces.pop() === 'template')) {
      take(at + 1, 'quote');
      template();
    } else {
      if (token === '{') braces.push('brace');
      take(at + 1, 'code');
    }
  }
  take(text.length, 'code');
  return { code, bare };
}
