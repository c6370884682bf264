// `npm run bench -- archive`: what it costs to keep restore points of a disk in an object store.
// The night's disk (night-work.ts), evening and morning, sent to an archive in a directory by a
// real hastd, and backed up by restic and borg from a copy of the same image; then restored by
// each, one after the other, several times. Beside them the arithmetic of fixed objects of 4 MiB,
// and a sparse disk of 4 TiB for memory. What it does not show: a network or a real S3 (latency
// and bandwidth would add to each by its requests and bytes), cold caches (all is in the page
// cache), many nights, pruning; backups are run once each, so that their seconds are rough.
import {
  closeSync,
  constants,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { isZero } from '../src/base/digest.js';
import { CHUNK_BYTES, humanBytes, MIB } from '../src/base/units.js';
import { fixedObjects } from './archive-chunks.js';
import { archiveRound, hastRestore, hastServe, idleRound, networkRound } from './archive-hast.js';
import { type BackedUp, type Missing, PEERS, type Peer, type Restored } from './archive-peers.js';
import { type ArchiveResult, archiveBars, printArchive } from './archive-report.js';
import { measureSparse } from './archive-sparse.js';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { loadNow, rotated } from './meters.js';
import { makeNightImages, type NightImages } from './night-image.js';
import { replay, runsBetween, writeRuns } from './night-replay.js';
import { syncFiles } from './residency.js';
import { compareImages } from './round-image.js';
import { printBars } from './round-report.js';
import { imageOf, profilesTo, startNodes, type TwoNodes } from './two-nodes.js';

export interface ArchiveBenchOptions {
  readonly diskBytes: number;
  /** Restores of each. */
  readonly pairs: number;
  readonly seed: number;
  /** Images and archives: about eight times the used part of the disk. */
  readonly directory: string;
  /** Where restores go, so that a slow disk does not make all of them alike. */
  readonly memory: string;
  /** Of the sparse disk; 0: without it. */
  readonly sparseBytes: number;
  readonly contentBytes: number;
  /** Folder for CPU profiles; null: none are made. */
  readonly profiles: string | null;
}

const REPLICATED = 'vm1';
const ARCHIVED = 'vm2';
const READ_BYTES = MIB;

/** Runs all of it; false when a bar is missed. */
export async function benchArchive(options: ArchiveBenchOptions): Promise<boolean> {
  const { directory, memory, seed, sparseBytes } = options;
  const machine = machineFacts(directory, seed, []);
  printMachine(machine);
  const folder = mkdtempSync(join(directory, 'hast-bench-'));
  const into = mkdtempSync(join(memory, 'hast-bench-'));
  try {
    const night = await oneNight(folder, into, options);
    const sparse = sparseBytes === 0 ? null : await measureSparse(options);
    const result: ArchiveResult = { ...night, sparse };
    const bars = archiveBars(result);
    printArchive(result);
    printBars(bars);
    console.log(`load ${machine.load} before, ${loadNow()} after, on ${machine.cores} cores`);
    keepResult('archive', machine, { settings: options, bars, result });
    return bars.every(({ verdict }) => verdict !== 'FAIL');
  } finally {
    for (const path of [folder, into]) rmSync(path, { recursive: true, force: true });
  }
}

async function oneNight(
  folder: string,
  into: string,
  options: ArchiveBenchOptions,
): Promise<Omit<ArchiveResult, 'sparse'>> {
  const { diskBytes, seed, profiles } = options;
  const images = await makeNightImages(folder, diskBytes, seed);
  const snapshots = join(folder, 'snapshots');
  mkdirSync(snapshots);
  const snapshot = join(snapshots, 'disk.img');
  for (const copy of [REPLICATED, ARCHIVED].map((name) => imageOf(folder, 'a', name))) {
    copyFileSync(images.before, copy, constants.COPYFILE_FICLONE);
  }
  copyFileSync(images.before, snapshot, constants.COPYFILE_FICLONE);
  const found = await Promise.all(PEERS.map((peer) => peer(folder, snapshot)));
  for (const one of found) {
    console.log(
      'reason' in one ? `skipped   ${one.name}: ${one.reason}` : `peer      ${one.version}`,
    );
  }
  const nodes = await startNodes(folder, [REPLICATED], profilesTo(profiles), [ARCHIVED]);
  try {
    return await carried({ folder, into, options, images, snapshot, nodes }, found);
  } finally {
    await nodes.close();
  }
}

interface Place {
  readonly folder: string;
  readonly into: string;
  readonly options: ArchiveBenchOptions;
  readonly images: NightImages;
  readonly snapshot: string;
  readonly nodes: TwoNodes;
}

async function carried(
  place: Place,
  found: readonly (Peer | Missing)[],
): Promise<Omit<ArchiveResult, 'sparse'>> {
  const { folder, options, images, snapshot, nodes } = place;
  const { diskBytes } = options;
  const peers = found.filter((one): one is Peer => 'backup' in one);
  const forward = runsBetween(images.before, images.after, diskBytes);
  const { rawBytes, boundBytes } = compareImages(images.before, images.after, diskBytes);
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  console.log(
    `night     disk of ${humanBytes(diskBytes)}: ${mb(rawBytes)} MB in ${forward.length} runs ` +
      `have changed; as 1 MiB pieces of zstd -3 ${mb(boundBytes)} MB`,
  );
  await nodes.a.hastctl('sync', REPLICATED, '--wait=commit');
  const all = [snapshot, imageOf(folder, 'a', ARCHIVED)];
  await syncFiles(all);
  const first = await archiveRound(nodes, folder, ARCHIVED);
  const firsts = await backups(peers, all);
  for (const name of [REPLICATED, ARCHIVED]) {
    await replay(nodes.a.nbdSocket, forward, images.after, name);
  }
  writeRuns(snapshot, forward, images.after);
  await syncFiles(all);
  const night = await archiveRound(nodes, folder, ARCHIVED);
  const nights = await backups(peers, all);
  const networkUpBytes = await networkRound(nodes, REPLICATED);
  const idle = await idleRound(nodes, folder, ARCHIVED);
  const restores = await restoreAll(place, peers);
  const served = await hastServe(folder, ARCHIVED, 0, async (client) => {
    const piece = Buffer.alloc(READ_BYTES);
    for (let at = 0; at < diskBytes; at += READ_BYTES) await client.read(at, piece);
  });
  const restoresOf = (name: string): readonly Restored[] => restores.get(name) ?? [];
  const hast = { name: 'hast', version: '', note: '', first, night };
  return {
    hast: { ...hast, restores: restoresOf('hast') },
    peers: found.map((one) => {
      if ('reason' in one) return one;
      const { name, version, note } = one;
      const [firstOf, nightOf] = [firsts.get(name), nights.get(name)];
      if (!firstOf || !nightOf) throw new Error(`${name} did not run`);
      return { name, version, note, first: firstOf, night: nightOf, restores: restoresOf(name) };
    }),
    fixed: {
      first: fixedObjects(images.before, null, diskBytes),
      night: fixedObjects(images.after, images.before, diskBytes),
    },
    networkUpBytes,
    idle,
    served,
    usedBytes: usedOf(images.after, diskBytes),
  };
}

async function backups(
  peers: readonly Peer[],
  images: readonly string[],
): Promise<ReadonlyMap<string, BackedUp>> {
  const all = new Map<string, BackedUp>();
  for (const peer of peers) {
    await syncFiles(images);
    all.set(peer.name, await peer.backup());
  }
  return all;
}

/** Each in turn, and each first in turn; every copy is compared with the morning. */
async function restoreAll(
  { folder, into, options, images }: Place,
  peers: readonly Peer[],
): Promise<ReadonlyMap<string, readonly Restored[]>> {
  const { diskBytes, pairs, profiles } = options;
  const all = new Map<string, Restored[]>();
  const contestants = [
    {
      name: 'hast',
      restore: (to: string) => hastRestore(folder, ARCHIVED, to, profilesTo(profiles)),
    },
    ...peers,
  ];
  for (let pair = 0; pair < pairs; pair += 1) {
    for (const { name, restore } of rotated(contestants, pair)) {
      const { path, ...cost } = await restore(join(into, 'restored'));
      const { rawBytes } = compareImages(images.after, path, diskBytes);
      if (rawBytes > 0) throw new Error(`${name}: ${rawBytes} bytes were restored wrong`);
      all.set(name, [...(all.get(name) ?? []), cost]);
      rmSync(join(into, 'restored'), { recursive: true, force: true });
    }
  }
  return all;
}

/** Bytes of the 64 KiB pieces that are not zeroes. */
function usedOf(image: string, diskBytes: number): number {
  const fd = openSync(image, 'r');
  const piece = Buffer.alloc(CHUNK_BYTES);
  let usedBytes = 0;
  try {
    for (let at = 0; at < diskBytes; at += CHUNK_BYTES) {
      const length = readSync(fd, piece, 0, CHUNK_BYTES, at);
      if (!isZero(piece.subarray(0, length))) usedBytes += length;
    }
  } finally {
    closeSync(fd);
  }
  return usedBytes;
}
