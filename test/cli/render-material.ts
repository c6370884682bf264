// What the tests of hastctl's output share: the present, an answer of the daemon, lines as printed.
import type { ResourceStatus } from '../../src/control/api.js';

export const NOW = Date.parse('2026-11-20T05:05:00.000Z');
export const answer = (...resources: ResourceStatus[]) => ({
  node: 'a',
  version: '0.1.0',
  pid: 1,
  resources,
});
export const lines = (...text: string[]): string => text.map((line) => `${line}\n`).join('');
