// What the archive benchmark measures of a program: seconds, CPU seconds and the most memory of
// its tree of processes while it runs; and of a directory: the files in it and their bytes. Peaks
// are those the kernel keeps for each process (VmHWM), added up; a process is looked at every
// LOOK_MS, so what it takes in its last moment is missing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Usage, usageOf, usageOfOurChildren, usedSince } from './meters.js';

const LOOK_MS = 10;

export interface Cost {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

export interface RunCost extends Cost {
  readonly stdout: string;
}

/** Runs a program to its end and wants status 0. Nothing else that we started may end meanwhile. */
export async function meteredRun(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<RunCost> {
  const { cwd = process.cwd(), env = {} } = options;
  const before = usageOfOurChildren();
  const began = performance.now();
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd,
    env: { ...process.env, ...env },
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.stdout += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.stderr += piece;
  });
  const peak = new TreePeak(child.pid ?? 0);
  const [status] = await once(child, 'close');
  const seconds = (performance.now() - began) / 1000;
  const peakBytes = peak.stop();
  const { cpuSeconds } = usedSince(before, usageOfOurChildren());
  if (status === 0) return { seconds, cpuSeconds, peakBytes, stdout: text.stdout };
  throw new Error(`${program} ${args.join(' ')}: status ${status}\n${text.stdout}${text.stderr}`);
}

/** The sum of the peaks of a process and all that it started. */
class TreePeak {
  readonly #peaks = new Map<number, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#timer = setInterval(() => this.#look(pid), LOOK_MS);
  }

  stop(): number {
    clearInterval(this.#timer);
    return [...this.#peaks.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  #look(pid: number): void {
    try {
      this.#peaks.set(pid, Math.max(this.#peaks.get(pid) ?? 0, peakOf(pid)));
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim();
      if (children !== '') for (const child of children.split(' ')) this.#look(Number(child));
    } catch {
      // It has ended.
    }
  }
}

/** Most resident memory of a process since it began, or since `forgetPeak`. */
export function peakOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
}

/** The process's peak begins anew with what it has now (proc(5), clear_refs). */
const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, '5');

/** What a daemon uses while `work` runs, with the programs that `work` runs to their end. */
export async function meteredDaemon<T>(
  pid: number,
  work: () => Promise<T>,
): Promise<Cost & { readonly result: T }> {
  forgetPeak(pid);
  const before: readonly Usage[] = [usageOf(pid), usageOfOurChildren()];
  const began = performance.now();
  const result = await work();
  const seconds = (performance.now() - began) / 1000;
  const now = [usageOf(pid), usageOfOurChildren()];
  const cpuSeconds = now.reduce(
    (sum, usage, at) => sum + usage.cpuSeconds - (before[at]?.cpuSeconds ?? 0),
    0,
  );
  return { seconds, cpuSeconds, peakBytes: peakOf(pid), result };
}

export interface Stored {
  readonly files: ReadonlySet<string>;
  readonly bytes: number;
}

/** All files below a directory, by path and inode: one that was replaced is another one. */
export function storedIn(directory: string): Stored {
  const files = new Set<string>();
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const facts = statSync(join(directory, name));
    if (!facts.isFile()) continue;
    files.add(`${name} ${facts.ino} ${facts.mtimeMs}`);
    bytes += facts.size;
  }
  return { files, bytes };
}

/** Files that are new or changed, and by how many bytes the whole has grown. */
export function growth(
  before: Stored,
  now: Stored,
): { readonly files: number; readonly bytes: number } {
  const files = [...now.files].filter((file) => !before.files.has(file)).length;
  return { files, bytes: now.bytes - before.bytes };
}
