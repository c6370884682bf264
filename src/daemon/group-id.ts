// The number of a group by its name, from group(5): Node has no getgrnam.
import { readFileSync } from 'node:fs';
import { DaemonError } from './daemon-faults.js';

const GROUP_FILE = '/etc/group';

/** Error EXPORT_GROUP_UNKNOWN. A number is taken as it is. */
export function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync(GROUP_FILE, 'utf8').split('\n')) {
    const [name, , id] = line.split(':');
    if (name === group && id !== undefined) return Number(id);
  }
  throw new DaemonError({ code: 'EXPORT_GROUP_UNKNOWN', group });
}
