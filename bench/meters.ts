// What a measurement reads from /proc: CPU seconds and bytes read of a process together with the
// children it has waited for, and the few sums that results are made of. Linux only; seconds and
// bytes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Usage {
  readonly cpuSeconds: number;
  /** Bytes given by read calls of all kinds: files in the page cache and sockets included. */
  readonly readBytes: number;
  /** Bytes fetched from storage for it, read ahead included. */
  readonly storageBytes: number;
}

/** What `pid` has used so far, its ended and waited-for children included. */
export function usageOf(pid: number): Usage {
  const { own, children } = ticksOf(pid);
  return { cpuSeconds: (own + children) / TICKS_PER_SECOND, ...bytesOf(pid) };
}

/** CPU of the children of this process that have ended; the bytes include what it read itself. */
export function usageOfOurChildren(): Usage {
  const { children } = ticksOf(process.pid);
  return { cpuSeconds: children / TICKS_PER_SECOND, ...bytesOf(process.pid) };
}

function ticksOf(pid: number): { readonly own: number; readonly children: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The program's name is in brackets and may hold anything; after it, fields 14 to 17 of
  // proc_pid_stat(5) are utime, stime, cutime, cstime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const at = (field: number): number => Number(fields[field - 3] ?? 0);
  return { own: at(14) + at(15), children: at(16) + at(17) };
}

function bytesOf(pid: number): { readonly readBytes: number; readonly storageBytes: number } {
  const io = readFileSync(`/proc/${pid}/io`, 'latin1');
  const of = (name: string): number =>
    Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(io)?.[1] ?? 0);
  return { readBytes: of('rchar'), storageBytes: of('read_bytes') };
}

export const usedSince = (before: Usage, now: Usage): Usage => ({
  cpuSeconds: now.cpuSeconds - before.cpuSeconds,
  readBytes: now.readBytes - before.readBytes,
  storageBytes: now.storageBytes - before.storageBytes,
});

/** The middle one, or the mean of the two in the middle; 0 of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  const upper = sorted[Math.floor(half)] ?? 0;
  const lower = sorted[Math.ceil(half) - 1] ?? 0;
  return (lower + upper) / 2;
}

export interface Quartiles {
  readonly low: number;
  readonly middle: number;
  readonly high: number;
}

/** Quarter, half and three quarters of the values lie below; between two of them, linearly. */
export function quartiles(values: readonly number[]): Quartiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = share * (sorted.length - 1);
    const below = sorted[Math.floor(place)] ?? Number.NaN;
    const above = sorted[Math.ceil(place)] ?? below;
    return below + (above - below) * (place - Math.floor(place));
  };
  return { low: at(0.25), middle: at(0.5), high: at(0.75) };
}

/** The items beginning with number `by`: who is measured first changes from round to round. */
export function rotated<T>(items: readonly T[], by: number): readonly T[] {
  const at = by % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

/** Load average of the last minute. */
export const loadNow = (): number =>
  Number(readFileSync('/proc/loadavg', 'latin1').split(' ')[0] ?? 0);

export interface Ran {
  readonly stdout: string;
  readonly seconds: number;
}

/** Runs a program to its end and wants status 0. */
export async function run(program: string, args: readonly string[]): Promise<Ran> {
  const began = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text.stdout += piece;
  });
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    text.stderr += piece;
  });
  const [status] = await once(child, 'close');
  const seconds = (performance.now() - began) / 1000;
  if (status === 0) return { stdout: text.stdout, seconds };
  throw new Error(`${program} ${args.join(' ')}: status ${status}\n${text.stdout}${text.stderr}`);
}
