// Memory of a hastd whose resources are idle: 1, 10 and 100 of them, primaries connected to their
// replicas after the first round of an empty disk of 1 GiB each. Resident bytes, and of these what
// no file is behind (the rest is mostly the program itself).
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GIB, MIB } from '../src/base/units.js';
import { printTable } from './round-report.js';
import { imageOf, startNodes } from './two-nodes.js';

export interface IdleMemory {
  readonly resources: number;
  readonly primary: Resident;
  readonly secondary: Resident;
}

export interface Resident {
  readonly residentBytes: number;
  readonly anonymousBytes: number;
}

const COUNTS = [1, 10, 100] as const;
const SETTLE_MS = 5_000;

export async function idleMemory(directory: string): Promise<readonly IdleMemory[]> {
  const all: IdleMemory[] = [];
  for (const count of COUNTS) {
    const folder = mkdtempSync(join(directory, 'hast-bench-'));
    try {
      all.push(await measured(folder, count));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return all;
}

async function measured(folder: string, count: number): Promise<IdleMemory> {
  const names = Array.from({ length: count }, (_, index) => `vm${index + 1}`);
  for (const name of names) {
    const path = imageOf(folder, 'a', name);
    writeFileSync(path, '');
    truncateSync(path, GIB);
  }
  const nodes = await startNodes(folder, names, []);
  try {
    const { signal } = new AbortController();
    for (const name of names) {
      await nodes.a.control.sync(name, { wait: 'applied' }, signal);
    }
    await sleep(SETTLE_MS);
    const { a, b } = nodes;
    return { resources: count, primary: residentOf(a.pid), secondary: residentOf(b.pid) };
  } finally {
    await nodes.close();
  }
}

function residentOf(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const of = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) * 1024;
  return { residentBytes: of('VmRSS'), anonymousBytes: of('RssAnon') };
}

export function printMemory(all: readonly IdleMemory[]): void {
  if (all.length === 0) return;
  const mib = ({ residentBytes, anonymousBytes }: Resident): string =>
    `${(residentBytes / MIB).toFixed(0)} (${(anonymousBytes / MIB).toFixed(0)})`;
  console.log('\nresident MiB of an idle hastd (of these anonymous)');
  printTable([
    ['resources', 'primary', 'secondary'],
    ...all.map((one) => [String(one.resources), mib(one.primary), mib(one.secondary)]),
  ]);
}
