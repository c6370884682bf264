// Findings: what is wrong with, or worth knowing about, a configuration file, each with its place.
// Guarantee: the list is bounded (FINDINGS_MAX), in file order, and holds an error exactly when
// `failed` is true. Lines and columns count from 1; a tab is one column.
import type { ConfigFinding } from './settings.js';

export interface Place {
  readonly line: number;
  readonly column: number;
}

/** More are counted, not kept: a file of junk must not answer with a million lines. */
export const FINDINGS_MAX = 200;
const SHOWN_CHARACTERS_MAX = 60;

export class Findings {
  readonly #path: string;
  readonly #list: ConfigFinding[] = [];
  #failed = false;
  #droppedErrors = 0;
  #droppedNotes = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** True once any error was found, kept or not. */
  get failed(): boolean {
    return this.#failed;
  }

  error(place: Place, setting: string, text: string): void {
    this.#failed = true;
    if (this.#list.length < FINDINGS_MAX) this.#add('error', place, setting, text);
    else this.#droppedErrors += 1;
  }

  note(place: Place, setting: string, text: string): void {
    if (this.#list.length < FINDINGS_MAX) this.#add('note', place, setting, text);
    else this.#droppedNotes += 1;
  }

  /** All findings by line and column; the last one counts what was dropped. */
  sorted(): readonly ConfigFinding[] {
    const list = this.#list.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const dropped = this.#droppedErrors + this.#droppedNotes;
    if (dropped === 0) return list;
    const level = this.#droppedErrors > 0 ? 'error' : 'note';
    const { line, column } = list.at(-1) ?? { line: 1, column: 1 };
    const text = `${dropped} more findings are not shown; correct these first`;
    return [...list, { level, path: this.#path, line, column, setting: 'file', text }];
  }

  #add(level: 'error' | 'note', place: Place, setting: string, text: string): void {
    const { line, column } = place;
    this.#list.push({ level, path: this.#path, line, column, setting, text });
  }
}

/** `hast.conf:14:5: interval: what, why, what to write`; a note says that it is one. */
export function formatFinding(finding: ConfigFinding): string {
  const { path, line, column, setting, text, level } = finding;
  return `${path}:${line}:${column}: ${setting}: ${level === 'note' ? 'note: ' : ''}${text}`;
}

/** A piece of the file for a message: one line, printable, at most 60 characters. */
export function shown(text: string): string {
  const clipped =
    text.length > SHOWN_CHARACTERS_MAX ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}...` : text;
  return JSON.stringify(clipped).slice(1, -1).replaceAll('\\"', '"');
}
