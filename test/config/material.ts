// What the tests of the configuration share: the files of config/, and loading one as a node.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatFinding } from '../../src/config/finding.js';
import { loadConfig } from '../../src/config/load.js';
import type { CheckCron } from '../../src/config/rules.js';
import type { ConfigResult, NodeSettings, ResourceSettings } from '../../src/config/settings.js';

const ROOT = new URL('../../../', import.meta.url);

/** Text of a file of the project. */
export const projectFile = (name: string): string =>
  readFileSync(fileURLToPath(new URL(name, ROOT)), 'utf8');

export const projectPath = (name: string): string => fileURLToPath(new URL(name, ROOT));

/** Names below the root of all `.conf` files of a folder of the project. */
export const confFiles = (folder: string): readonly string[] =>
  readdirSync(fileURLToPath(new URL(folder, ROOT)))
    .filter((name) => name.endsWith('.conf'))
    .map((name) => `${folder}/${name}`);

/** Node names of all `on` blocks, each once. */
export const nodesOf = (text: string): readonly string[] => [
  ...new Set(
    [...text.matchAll(/^[^#\n]*\bon\s+"?([A-Za-z0-9.]+)"?\s*\{/gm)].map((m) => m[1] ?? ''),
  ),
];

export const load = (text: string, node = 'a', checkCron?: CheckCron): ConfigResult =>
  loadConfig(text, 'hast.conf', { names: [node] }, checkCron);

/** `line:column: setting: text` of all findings. */
export const said = (result: ConfigResult): readonly string[] =>
  result.findings.map((f) => formatFinding(f).slice(f.path.length + 1));

/** The settings of a file that must be right. */
export function settingsOf(text: string, node = 'a'): NodeSettings {
  const result = load(text, node);
  const errors = result.findings.filter((finding) => finding.level === 'error');
  assert.deepEqual(errors.map(formatFinding), []);
  assert.ok(result.settings, 'no error, hence settings');
  return result.settings;
}

/** The errors of a file, and that there are no settings then. */
export function errorsOf(text: string, node = 'a'): readonly string[] {
  const result = load(text, node);
  const errors = result.findings.filter((finding) => finding.level === 'error');
  assert.equal(result.settings === null, errors.length > 0);
  return errors.map((f) => formatFinding(f).slice(f.path.length + 1));
}

/** One resource `vm1` between a and b over loopback; texts are put into the scopes. */
export const twoNodes = (top = '', inResource = '', inNode = ''): string =>
  `listen tcp://127.0.0.1:8457 ${top}\n` +
  `resource vm1 { ${inResource}\n` +
  ` on a { local /srv/a.img remote tcp://127.0.0.1:9457 ${inNode} }\n` +
  ` on b { local /srv/b.img remote tcp://127.0.0.1:8457 } }\n`;

/** The one resource of `twoNodes`. */
export function vm1(top = '', inResource = '', inNode = ''): ResourceSettings {
  const [resource] = settingsOf(twoNodes(top, inResource, inNode)).resources;
  assert.ok(resource);
  return resource;
}

/** Parameters of fc.assert; HAST_SEED repeats a failure. */
export function seeded(t: TestContext, numRuns: number): { seed: number; numRuns: number } {
  const seed = Number(process.env['HAST_SEED'] ?? 20_261_120);
  t.diagnostic(`HAST_SEED=${seed}`);
  return { seed, numRuns };
}
