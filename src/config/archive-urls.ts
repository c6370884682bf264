// Where the archives of a resource are: each at a place of its own, or two targets of one node
// would be in each other's way with every round. Pure.
import { posix } from 'node:path';
import type { Findings } from './finding.js';
import { pick } from './levels.js';
import type { NodeDraft } from './resolve.js';
import type { ArchiveSettings } from './settings.js';

/** Two archives of a resource at one place are an error. */
export function checkArchiveUrls({ resources }: NodeDraft, findings: Findings): void {
  for (const { targets } of resources) {
    const seen = new Map<string, string>();
    for (const { settings, levels } of targets) {
      const { statement, text } = pick(levels, 'url');
      if (settings.archive === null || statement === null) continue;
      const key = placeOfArchive(settings.archive);
      const first = seen.get(key);
      if (first === undefined) seen.set(key, settings.name);
      else {
        const what = `${text} is already the url of archive ${first}`;
        findings.error(statement.valuePlace, 'url', `${what}; give this one another place`);
      }
    }
  }
}

/** As the stores read it: however many / are written, and an endpoint is of S3 alone. */
function placeOfArchive({ base, endpoint }: ArchiveSettings): string {
  const url = posix.normalize(`${base}/`);
  const at = endpoint?.toLowerCase().replace(/\/+$/, '') ?? '';
  return url.startsWith('s3:') ? `${url} ${at}` : url;
}
