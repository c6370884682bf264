// The settings of hast.conf(5) as data: one table for the parser, the suggestions, `hastctl config`
// and the test of the man page.
import type { Keyword, Scope } from './keyword.js';
import { NODE_KEYWORDS } from './node-keywords.js';
import { RESOURCE_KEYWORDS } from './resource-keywords.js';

export const KEYWORDS: readonly Keyword[] = [...NODE_KEYWORDS, ...RESOURCE_KEYWORDS];

/** HAST's two: used when no scope has a `listen`. */
export const LISTEN_DEFAULTS: readonly string[] = ['tcp4://0.0.0.0:8457', 'tcp6://[::]:8457'];

const BY_NAME: ReadonlyMap<string, Keyword> = new Map(KEYWORDS.map((k) => [k.name, k]));

export const keywordOf = (name: string): Keyword | null => BY_NAME.get(name) ?? null;

const SCOPE_WORDS: Readonly<Record<Scope, string>> = {
  global: 'at the top level',
  node: 'in an on block at the top level',
  resource: 'in a resource',
  'resource node': 'in an on block of a resource',
  target: 'in a target block',
  archive: 'in an archive block',
};

/** `at the top level or in a resource`. */
export function scopeText(scopes: readonly Scope[]): string {
  const words = scopes.map((scope) => SCOPE_WORDS[scope]);
  const last = words.pop() ?? '';
  return words.length === 0 ? last : `${words.join(', ')} or ${last}`;
}
