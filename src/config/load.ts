// hast.conf(5) as a whole: text to the settings of one node. Guarantee: never throws for any text;
// all errors of the file are found in one run; `settings` is null exactly when one of the findings
// is an error. No file is opened and nothing is resolved here.
import { assert } from '../base/assert.js';
import { Findings } from './finding.js';
import { type Levels, pick } from './levels.js';
import { lex } from './lex.js';
import { originsOf } from './origins.js';
import { parse } from './parse.js';
import { type NodeDraft, resolve } from './resolve.js';
import { type CheckCron, checkFile, checkNode } from './rules.js';
import type { ConfigResult, KeyFile } from './settings.js';
import type { LongestGap } from './targets.js';

/** Largest configuration file. */
export const CONFIG_BYTES_MAX = 1024 * 1024;

/**
 * Reads the text of a configuration file for one node.
 * `path` is only for messages. `node.names` are the names that `on` blocks may have for this node,
 * best first (see nodeNames). `checkCron` says what is wrong with a cron expression, or null;
 * without it only the number of fields is checked. `longestGap` says how rarely one may fire, for
 * the default of `max-lag`; without it one is taken to fire once a day.
 */
export function loadConfig(
  text: string,
  path: string,
  node: { readonly names: readonly string[] },
  checkCron?: CheckCron,
  longestGap: LongestGap = () => null,
): ConfigResult {
  assert(node.names.length > 0, 'a node has a name');
  const findings = new Findings(path);
  const bytes = text.length > CONFIG_BYTES_MAX ? text.length : Buffer.byteLength(text);
  if (bytes > CONFIG_BYTES_MAX) {
    const what = `is larger than the ${CONFIG_BYTES_MAX} bytes of a configuration`;
    findings.error({ line: 1, column: 1 }, 'file', `${what}; is this the right file?`);
    return { settings: null, findings: findings.sorted(), origins: [], keys: [] };
  }
  const tree = parse(lex(text, findings), findings);
  checkFile(tree, findings, checkCron);
  const draft = resolve(tree, node.names, longestGap, findings);
  checkNode(draft, longestGap, findings);
  const failed = findings.failed;
  return {
    settings: failed ? null : { ...draft.settings, path },
    findings: findings.sorted(),
    origins: failed ? [] : originsOf(draft, path),
    keys: failed ? [] : keysOf(draft),
  };
}

function keysOf({ resources }: NodeDraft): readonly KeyFile[] {
  const keys = new Map<string, KeyFile>();
  const note = (levels: Levels, setting: KeyFile['setting']): void => {
    const { text: keyPath, statement } = pick(levels, setting);
    const name = `${setting} ${keyPath}`;
    if (keyPath === null || statement === null || keys.has(name)) return;
    keys.set(name, { setting, keyPath, ...statement.valuePlace });
  };
  for (const { levels, targets } of resources) {
    note(levels, 'secret');
    for (const { levels: inner, settings } of targets) {
      if (settings.archive !== null) note(inner, 'key');
    }
  }
  return [...keys.values()];
}
