// A parsed file, before inheritance: blocks with their statements, each with its place. All nodes'
// blocks are in it; which of them count is decided in resolve.ts.
import type { Place } from './finding.js';
import type { Keyword, Scope } from './keywords.js';

export interface Statement {
  readonly keyword: Keyword;
  /** Null when the value was missing or wrong (and reported): set, but to nothing usable. */
  readonly text: string | null;
  /** Of the keyword. */
  readonly place: Place;
  readonly valuePlace: Place;
}

/** One scope as written once. */
export interface Block {
  readonly scope: Scope;
  /** Of the node or resource; empty for the top level and where it is missing (and reported). */
  readonly name: string;
  readonly place: Place;
  readonly statements: Statement[];
}

export interface ResourceBlock extends Block {
  readonly nodes: Block[];
}

export interface FileTree {
  readonly global: Block;
  readonly nodes: Block[];
  readonly resources: ResourceBlock[];
}

export const emptyTree = (): FileTree => ({
  global: { scope: 'global', name: '', place: { line: 1, column: 1 }, statements: [] },
  nodes: [],
  resources: [],
});

/** The last statement of `name` in a scope: the one that counts. */
export function lastOf(statements: readonly Statement[], name: string): Statement | null {
  return statements.findLast((statement) => statement.keyword.name === name) ?? null;
}
