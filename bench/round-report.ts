// Results of the round benchmark as data, the bars they are held to, and the tables people read.
// Seconds, bytes. `near` is who sends, `far` who receives.
import { humanBytes } from '../src/base/units.js';
import { median } from './meters.js';
import type { Cached } from './residency.js';

export interface BothSides {
  readonly near: number;
  readonly far: number;
}

/** One transfer, of whichever program. */
export interface Carried {
  readonly seconds: number;
  readonly upBytes: number;
  readonly downBytes: number;
  readonly cpuSeconds: BothSides;
  /** All read calls, sockets included. */
  readonly readBytes: BothSides;
  /** Of these, fetched from storage, read ahead included. */
  readonly storageBytes: BothSides;
}

/** A round of hast: to committed as Carried (wire from the proxy), then what it says itself. */
export interface CarriedRound extends Carried {
  readonly reported: {
    readonly seconds: number;
    readonly dirtyBytes: number;
    readonly readBytes: number;
    readonly sentBytes: number;
    readonly wireUpBytes: number;
    readonly wireDownBytes: number;
  };
  /** From committed to applied in the replica's disk. */
  readonly applied: {
    readonly seconds: number;
    readonly cpuSeconds: number;
    /** What the sender used meanwhile. */
    readonly nearCpuSeconds: number;
    readonly readBytes: number;
    readonly storageBytes: number;
  };
}

export interface Change {
  readonly rawBytes: number;
  readonly boundBytes: number;
  readonly chunkBytes: number;
}

export interface Pair {
  readonly load: number;
  readonly change: Change;
  readonly guestSeconds: number;
  readonly hast: CarriedRound;
  readonly rsync: Carried;
  readonly rsync4k: Carried;
}

/** The round that began with nothing in the page cache. */
export interface ColdRound {
  readonly change: Change;
  readonly round: CarriedRound;
  readonly local: Cached;
  readonly replica: Cached;
}

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly limit: number;
  readonly verdict: 'PASS' | 'FAIL' | 'not applicable';
}

const WIRE_LIMIT = 1.05;
/** The wire bar holds where the bound is at least this share of raw. */
const COMPRESSIBLE_MIN = 0.4;
const READ_LIMIT = 1.02;
const WALL_LIMIT = 0.1;

/** Bytes are held to the bar by the worst pair, seconds by the medians. */
export function barsOf(pairs: readonly Pair[], cold: ColdRound): readonly Bar[] {
  const worst = (of: (pair: Pair) => number): number => Math.max(...pairs.map(of));
  const share = Math.min(...pairs.map(({ change }) => change.boundBytes / change.rawBytes));
  const wire = worst(({ hast, change }) => hast.upBytes / change.boundBytes);
  const wall =
    median(pairs.map(({ hast }) => hast.seconds)) / median(pairs.map(({ rsync }) => rsync.seconds));
  const held = (name: string, value: number, limit: number): Bar => ({
    name,
    value,
    limit,
    verdict: value <= limit ? 'PASS' : 'FAIL',
  });
  const wireBar = held('wire bytes up / bound (proxy)', wire, WIRE_LIMIT);
  return [
    share >= COMPRESSIBLE_MIN ? wireBar : { ...wireBar, verdict: 'not applicable' },
    held(
      'bytes read / dirty chunks (as reported)',
      worst(({ hast, change }) => hast.reported.readBytes / change.chunkBytes),
      READ_LIMIT,
    ),
    held(
      'bytes read / dirty chunks (all read calls)',
      worst(({ hast, change }) => hast.readBytes.near / change.chunkBytes),
      READ_LIMIT,
    ),
    held('bytes of clean chunks read, primary (page cache)', cold.local.outsideBytes, 0),
    held('bytes of clean chunks read, replica (page cache)', cold.replica.outsideBytes, 0),
    held('wall to committed / rsync default', wall, WALL_LIMIT),
  ];
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
const seconds = (value: number): string => value.toFixed(2);

function row(name: string, one: Carried): readonly string[] {
  const { cpuSeconds, readBytes } = one;
  return [
    name,
    seconds(one.seconds),
    mb(one.upBytes),
    mb(one.downBytes),
    `${seconds(cpuSeconds.near)} + ${seconds(cpuSeconds.far)}`,
    `${mb(readBytes.near)} + ${mb(readBytes.far)}`,
  ];
}

const HEAD = ['', 'wall s', 'up MB', 'down MB', 'CPU s', 'read MB'];

export function printPair(number: number, pair: Pair): void {
  const { change, hast } = pair;
  const share = ((100 * change.boundBytes) / change.rawBytes).toFixed(1);
  console.log(
    `\npair ${number} (load ${pair.load}): changed ${mb(change.rawBytes)} MB, ` +
      `bound ${mb(change.boundBytes)} MB (${share} %), dirty chunks ${mb(change.chunkBytes)} MB; ` +
      `guest wrote in ${seconds(pair.guestSeconds)} s`,
  );
  printTable([HEAD, row('hast', hast), row('rsync', pair.rsync), row('rsync 4096', pair.rsync4k)]);
  printReported(hast);
}

function printReported({ reported, applied }: CarriedRound): void {
  console.log(
    `hast says ${seconds(reported.seconds)} s, read ${mb(reported.readBytes)} MB, ` +
      `sent ${mb(reported.sentBytes)} MB raw, up ${mb(reported.wireUpBytes)} MB, ` +
      `down ${mb(reported.wireDownBytes)} MB; applied ${seconds(applied.seconds)} s later ` +
      `(CPU ${seconds(applied.cpuSeconds)} s, read ${mb(applied.readBytes)} MB)`,
  );
}

export function printSummary(pairs: readonly Pair[], cold: ColdRound): void {
  const middle = (of: (pair: Pair) => Carried): Carried => {
    const all = pairs.map(of);
    const at = (value: (one: Carried) => number): number => median(all.map(value));
    return {
      seconds: at((one) => one.seconds),
      upBytes: at((one) => one.upBytes),
      downBytes: at((one) => one.downBytes),
      cpuSeconds: { near: at((o) => o.cpuSeconds.near), far: at((o) => o.cpuSeconds.far) },
      readBytes: { near: at((o) => o.readBytes.near), far: at((o) => o.readBytes.far) },
      storageBytes: { near: at((o) => o.storageBytes.near), far: at((o) => o.storageBytes.far) },
    };
  };
  console.log(`\nmedians of ${pairs.length} pairs (CPU and read: sender + receiver, to committed)`);
  printTable([
    HEAD,
    row(
      'hast',
      middle(({ hast }) => hast),
    ),
    row(
      'rsync',
      middle(({ rsync }) => rsync),
    ),
    row(
      'rsync 4096',
      middle(({ rsync4k }) => rsync4k),
    ),
  ]);
  console.log('\na round that began with nothing in the page cache');
  printTable([HEAD, row('hast', cold.round)]);
  printReported(cold.round);
  const { storageBytes, applied } = cold.round;
  const dirty = humanBytes(cold.change.chunkBytes);
  console.log(
    `fetched from storage: primary ${humanBytes(storageBytes.near)}, replica ` +
      `${humanBytes(storageBytes.far + applied.storageBytes)}; ` +
      `in the page cache afterwards: primary ${humanBytes(cold.local.bytes)}, ` +
      `replica ${humanBytes(cold.replica.bytes)}; dirty chunks ${dirty}`,
  );
}

export function printBars(bars: readonly Bar[]): void {
  console.log('\nbars (bytes: worst pair; wall: medians)');
  printTable(
    bars.map(({ name, value, limit, verdict }) => {
      const shown = limit === 0 ? String(value) : value.toFixed(3);
      return [name, shown, `<= ${limit}`, verdict];
    }),
  );
}

/** Columns as wide as their widest cell; the first to the left, the others to the right. */
export function printTable(rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((cells) => cells[at]?.length ?? 0)),
  );
  for (const cells of rows) {
    const padded = cells.map((cell, at) =>
      at === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[at] ?? 0),
    );
    console.log(padded.join('  '));
  }
}
