// A parsed file, before inheritance: blocks with their statements, each with its place. All nodes'
// blocks are in it; which of them count is decided in resolve.ts.
import type { Place } from './finding.js';
import type { Keyword, Scope } from './keyword.js';

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
  /** Of the node, resource or target; empty for the top level, and where it is missing (and
   * reported). */
  readonly name: string;
  readonly place: Place;
  readonly statements: Statement[];
  /** Target blocks in it: only a resource and an on block of one have any. */
  readonly targets: Block[];
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
  global: { scope: 'global', name: '', place: { line: 1, column: 1 }, statements: [], targets: [] },
  nodes: [],
  resources: [],
});

/** Of each setting the last statement: what counts of a scope, and at most one per keyword. */
export const effective = (statements: readonly Statement[]): readonly Statement[] => [
  ...new Map(statements.map((statement) => [statement.keyword.name, statement])).values(),
];

/** All blocks of a resource: its own, its on blocks, and every target block. */
export const blocksOf = (resource: ResourceBlock): readonly Block[] => [
  resource,
  ...resource.targets,
  ...resource.nodes.flatMap((node) => [node, ...node.targets]),
];

/** The last statement of `name` in a scope: the one that counts. */
export function lastOf(statements: readonly Statement[], name: string): Statement | null {
  return statements.findLast((statement) => statement.keyword.name === name) ?? null;
}
