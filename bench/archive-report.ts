// Results of the archive benchmark as data, the bars they are held to, and the tables people read.
// Seconds of restores are medians; those of backups are of one run each. Seconds, bytes.
import { MIB } from '../src/base/units.js';
import type { Fixed } from './archive-chunks.js';
import type { ArchiveRound, Opened } from './archive-hast.js';
import type { BackedUp, Missing, Restored } from './archive-peers.js';
import type { SparseResult } from './archive-sparse.js';
import { median } from './meters.js';
import { type Bar, printTable } from './round-report.js';

export interface Contestant {
  readonly name: string;
  readonly version: string;
  readonly note: string;
  readonly first: BackedUp;
  readonly night: BackedUp;
  readonly restores: readonly Restored[];
}

export interface ArchiveResult {
  readonly hast: Contestant & { readonly first: ArchiveRound; readonly night: ArchiveRound };
  readonly peers: readonly (Contestant | Missing)[];
  readonly fixed: { readonly first: Fixed; readonly night: Fixed };
  /** The same night to a replica. */
  readonly networkUpBytes: number;
  /** What an idle round did: 0. */
  readonly idle: number;
  readonly served: Opened;
  readonly usedBytes: number;
  readonly sparse: SparseResult | null;
}

const PACK_BYTES = 32 * MIB;
/** Of a round; a first copy makes the archive and its epoch, too. */
const PUTS_BESIDE_PACKS = 4;
const PUTS_OF_AN_ARCHIVE = 2;
const NETWORK_LIMIT = 1.08;
const RESTORE_LIMIT = 3;
const OPEN_SECONDS_MAX = 2;
const PEAK_MIB_MAX = 250;

const held = (name: string, value: number, limit: number): Bar => ({
  name,
  value,
  limit: Number(limit.toFixed(3)),
  verdict: value <= limit ? 'PASS' : 'FAIL',
});

const peakMib = ({ peakBytes }: { readonly peakBytes: number }): number => peakBytes / MIB;
const opening = ({ uriSeconds, firstBlockSeconds }: Opened): number =>
  uriSeconds + firstBlockSeconds;
const middle = (
  { restores }: Contestant,
  of: (one: Restored) => number = ({ seconds }) => seconds,
): number => median(restores.map(of));

export function archiveBars(result: ArchiveResult): readonly Bar[] {
  const { hast, peers, networkUpBytes, idle, served, sparse } = result;
  const puts = (name: string, { requests, storedBytes, isFirst }: ArchiveRound): readonly Bar[] => [
    held(
      `PUTs of ${name}`,
      requests.put,
      PUTS_BESIDE_PACKS + (isFirst ? PUTS_OF_AN_ARCHIVE : 0) + storedBytes / PACK_BYTES,
    ),
    held(`LISTs of ${name}`, requests.list, 0),
  ];
  const restic = peers.find((one): one is Contestant => one.name === 'restic' && 'first' in one);
  const restore = 'restore: seconds of hast / restic';
  return [
    ...puts('the first copy', hast.first),
    ...puts('the night', hast.night),
    held('requests and rounds of an idle round', idle, 0),
    held(
      'bytes up of the night / to a replica',
      hast.night.upBytes / networkUpBytes,
      NETWORK_LIMIT,
    ),
    restic === undefined
      ? { name: restore, value: Number.NaN, limit: 1 / RESTORE_LIMIT, verdict: 'not applicable' }
      : held(restore, middle(hast) / middle(restic), 1 / RESTORE_LIMIT),
    held('seconds until the first block is served', opening(served), OPEN_SECONDS_MAX),
    held('MiB of hastd, first copy', peakMib(hast.first), PEAK_MIB_MAX),
    held('MiB of hastd, night', peakMib(hast.night), PEAK_MIB_MAX),
    held('MiB of restore', Math.max(...hast.restores.map(peakMib)), PEAK_MIB_MAX),
    held('MiB of serve', peakMib(served), PEAK_MIB_MAX),
    ...(sparse === null ? [] : sparseBars(sparse, puts)),
  ];
}

function sparseBars(
  { first, night, restore, served }: SparseResult,
  puts: (name: string, round: ArchiveRound) => readonly Bar[],
): readonly Bar[] {
  return [
    ...puts('the first copy, sparse', first),
    ...puts('the round, sparse', night),
    held('seconds until the first block, sparse', opening(served), OPEN_SECONDS_MAX),
    held('MiB of hastd, first copy, sparse', peakMib(first), PEAK_MIB_MAX),
    held('MiB of hastd, round, sparse', peakMib(night), PEAK_MIB_MAX),
    held('MiB of restore, sparse', peakMib(restore), PEAK_MIB_MAX),
    held('MiB of serve, sparse', peakMib(served), PEAK_MIB_MAX),
  ];
}

const mb = (bytes: number): string => (bytes / 1e6).toFixed(2);
const fixed = (value: number): string => value.toFixed(2);
const mib = (one: { readonly peakBytes: number }): string => peakMib(one).toFixed(0);

export function printArchive(result: ArchiveResult): void {
  const { hast, peers } = result;
  const ran = peers.filter((one): one is Contestant => 'first' in one);
  for (const step of ['first', 'night'] as const) {
    const what = step === 'first' ? 'the first copy' : 'the round of the night';
    console.log(`\n${what}: objects that are put, bytes stored`);
    const row = (name: string, objects: number, one: BackedUp): readonly string[] => [
      ...[name, String(objects), mb(one.storedBytes)],
      ...[fixed(one.seconds), fixed(one.cpuSeconds), mib(one)],
    ];
    const sum = result.fixed[step];
    printTable([
      ['', 'PUT', 'MB', 'wall s', 'CPU s', 'peak MiB'],
      row('hast', hast[step].requests.put, hast[step]),
      ...ran.map((peer) => row(peer.name, peer[step].objects, peer[step])),
      ['objects of 4 MiB (computed)', String(sum.objects), mb(sum.storedBytes), '-', '-', '-'],
    ]);
    printRequests(hast[step]);
  }
  console.log(`the same night to a replica: ${mb(result.networkUpBytes)} MB up`);
  printRestores([hast, ...ran], result.usedBytes);
  for (const { name, note } of ran) console.log(`${name}: ${note}`);
  for (const one of peers) if ('reason' in one) console.log(`${one.name}: skipped, ${one.reason}`);
  printServed('serve', result.served);
  if (result.sparse !== null) printSparse(result.sparse);
}

function printRequests({ requests, upBytes, sentBytes, objects, rounds }: ArchiveRound): void {
  const { put, get, head, list, remove } = requests;
  console.log(
    `hast says: ${put} PUT, ${get} GET, ${head} HEAD, ${list} LIST, ${remove} DELETE in ` +
      `${rounds} round(s); ${mb(sentBytes)} MB raw, ${mb(upBytes)} MB up; ${objects} files are new`,
  );
}

function printRestores(all: readonly Contestant[], usedBytes: number): void {
  console.log(`\nrestore into a new file, medians; MB/s of the ${mb(usedBytes)} MB in use`);
  printTable([
    ['', 'wall s', 'MB/s', 'to the medium s', 'CPU s', 'peak MiB'],
    ...all.map((one) => [
      one.name,
      fixed(middle(one)),
      (usedBytes / 1e6 / middle(one)).toFixed(0),
      fixed(middle(one, ({ durableSeconds }) => durableSeconds)),
      fixed(middle(one, ({ cpuSeconds }) => cpuSeconds)),
      middle(one, peakMib).toFixed(0),
    ]),
  ]);
}

function printServed(name: string, served: Opened): void {
  const { uriSeconds, firstBlockSeconds } = served;
  console.log(
    `${name}: URI after ${fixed(uriSeconds)} s, first block ${fixed(firstBlockSeconds)} s later, ` +
      `at most ${mib(served)} MiB`,
  );
}

function printSparse({ contentBytes, guestWrites, ...result }: SparseResult): void {
  const { first, night, restore, served } = result;
  console.log(
    `\nthe sparse disk: ${mb(contentBytes)} MB of content, then ${guestWrites} writes of 4 KiB`,
  );
  const row = (name: string, one: ArchiveRound): readonly string[] => [
    ...[name, String(one.requests.put), mb(one.storedBytes)],
    ...[fixed(one.seconds), fixed(one.cpuSeconds), mib(one)],
  ];
  printTable([
    ['', 'PUT', 'MB', 'wall s', 'CPU s', 'peak MiB'],
    row('first copy', first),
    row('round', night),
    ['restore', '-', '-', fixed(restore.seconds), fixed(restore.cpuSeconds), mib(restore)],
  ]);
  printRequests(first);
  printRequests(night);
  printServed('serve', served);
}
