// `npm run bench -- round`: what a night costs. A disk in use, its first copy, then again and again
// 1 % random 4 KiB writes carried by hast and by rsync, on images of the same content, each first
// in turn. hast carries what the guest wrote through NBD; rsync gets the same bytes written to its
// source directly. Bytes are held to their bars by the worst pair, wall time by the medians.
import { constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../src/base/random.js';
import { BLOCK_BYTES, humanBytes } from '../src/base/units.js';
import { type GuestWrite, writeAsGuest } from './guest-writes.js';
import { hastRound } from './hast-round.js';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { loadNow, rotated } from './meters.js';
import { cachedOf, evict, syncFiles } from './residency.js';
import { seededContent } from './round-content.js';
import { compareImages, makeImage, randomWrites, writeDirectly } from './round-image.js';
import {
  barsOf,
  type Carried,
  type CarriedRound,
  type ColdRound,
  type Pair,
  printBars,
  printPair,
  printSummary,
} from './round-report.js';
import { RsyncDaemon } from './round-rsync.js';
import { profilesTo, startTwoNodes, type TwoNodes } from './two-nodes.js';

export interface RoundBenchOptions {
  readonly sizeBytes: number;
  readonly pairs: number;
  readonly seed: number;
  /** Where the images are made: five times the used part of the disk. */
  readonly directory: string;
  /** Drop all images from the page cache before every measurement. */
  readonly evict: boolean;
  /** Folder for CPU profiles of both hastds; null: none are made. */
  readonly profiles: string | null;
}

const CHANGED_SHARE = 0.01;
/** Of the disk, about this much holds data at first. */
const USED_PERCENT = 35;
const GUEST_DEPTH = 16;

/** The images of rsync: the source, and a target for each setting. */
interface RsyncImages {
  readonly source: string;
  readonly plain: string;
  readonly blocks4k: string;
}

interface Bench {
  readonly options: RoundBenchOptions;
  readonly nodes: TwoNodes;
  readonly rsync: RsyncDaemon;
  readonly images: RsyncImages;
  readonly nextWrites: () => readonly GuestWrite[];
}

/** Runs all of it; false when a bar is failed. */
export async function benchRound(options: RoundBenchOptions): Promise<boolean> {
  const machine = machineFacts(options.directory, options.seed, ['rsync']);
  printMachine(machine);
  const folder = mkdtempSync(join(options.directory, 'hast-bench-'));
  try {
    const { pairs, cold } = await inFolder(folder, options);
    const bars = barsOf(pairs, cold);
    printSummary(pairs, cold);
    printBars(bars);
    const settings = { ...options, changedShare: CHANGED_SHARE };
    keepResult('round', machine, { settings, bars, pairs, cold });
    return bars.every(({ verdict }) => verdict !== 'FAIL');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inFolder(
  folder: string,
  options: RoundBenchOptions,
): Promise<{ readonly pairs: readonly Pair[]; readonly cold: ColdRound }> {
  const { sizeBytes, seed } = options;
  const random = seededRandom(seed);
  const content = seededContent(random);
  const image = join(folder, 'a.img');
  const usedBytes = makeImage(image, sizeBytes, random, content, USED_PERCENT);
  const images = rsyncImages(folder, image);
  console.log(
    `disk      ${humanBytes(sizeBytes)}, ${humanBytes(usedBytes)} of it data; ` +
      `page cache ${options.evict ? 'dropped before each measurement' : 'warm'}`,
  );
  const count = Math.ceil((sizeBytes * CHANGED_SHARE) / BLOCK_BYTES);
  const nextWrites = () => randomWrites(sizeBytes, count, random, content);
  const nodes = await startTwoNodes(folder, profilesTo(options.profiles));
  const rsync = await RsyncDaemon.start(folder);
  try {
    const bench: Bench = { options, nodes, rsync, images, nextWrites };
    await firstCopy(bench, usedBytes);
    const pairs: Pair[] = [];
    for (let number = 1; number <= options.pairs; number += 1) {
      const pair = await onePair(bench, number);
      printPair(number, pair);
      pairs.push(pair);
    }
    const cold = await coldRound(bench);
    check(bench);
    return { pairs, cold };
  } finally {
    await rsync.close();
    await nodes.close();
  }
}

function rsyncImages(folder: string, image: string): RsyncImages {
  const at = (name: string): string => join(folder, `rsync-${name}.img`);
  const images = { source: at('source'), plain: at('plain'), blocks4k: at('4096') };
  for (const copy of Object.values(images)) copyFileSync(image, copy, constants.COPYFILE_FICLONE);
  return images;
}

async function firstCopy(bench: Bench, usedBytes: number): Promise<void> {
  const round = await hastRound(bench.nodes);
  const rate = usedBytes / 1e6 / round.seconds;
  console.log(
    `first copy ${round.seconds.toFixed(2)} s (${rate.toFixed(0)} MB/s of data), ` +
      `${(round.upBytes / 1e6).toFixed(1)} MB up, ` +
      `CPU ${round.cpuSeconds.near.toFixed(2)} + ${round.cpuSeconds.far.toFixed(2)} s`,
  );
}

async function onePair(bench: Bench, number: number): Promise<Pair> {
  const { nodes, images, rsync } = bench;
  const writes = bench.nextWrites();
  writeDirectly(images.source, writes);
  const difference = compareImages(images.plain, images.source, bench.options.sizeBytes);
  const guestSeconds = await writeAsGuest(nodes.a.nbdSocket, 'vm1', writes, GUEST_DEPTH);
  const all = [nodes.a.image, nodes.b.image, ...Object.values(images)];
  const load = loadNow();
  let hast: CarriedRound | null = null;
  const carried = new Map<string, Carried>();
  const contestants: readonly (() => Promise<unknown>)[] = [
    async () => {
      hast = await hastRound(bench.nodes);
    },
    async () => carried.set('plain', await rsync.carry(images.source, images.plain, [])),
    async () => {
      const settings = ['--block-size=4096'];
      carried.set('4096', await rsync.carry(images.source, images.blocks4k, settings));
    },
  ];
  for (const contestant of rotated(contestants, number - 1)) {
    await (bench.options.evict ? evict(all) : syncFiles(all));
    await contestant();
  }
  const [plain, blocks4k] = [carried.get('plain'), carried.get('4096')];
  if (hast === null || !plain || !blocks4k) throw new Error('a contestant did not run');
  const { rawBytes, boundBytes, chunkBytes } = difference;
  const change = { rawBytes, boundBytes, chunkBytes };
  return { load, change, guestSeconds, hast, rsync: plain, rsync4k: blocks4k };
}

/** One more round on evicted images, and what the kernel then holds of each. */
async function coldRound(bench: Bench): Promise<ColdRound> {
  const { nodes, images, options } = bench;
  const { a, b } = nodes;
  const writes = bench.nextWrites();
  writeDirectly(images.source, writes);
  const difference = compareImages(images.plain, images.source, options.sizeBytes);
  await writeAsGuest(a.nbdSocket, 'vm1', writes, GUEST_DEPTH);
  await evict([a.image, b.image]);
  for (const { image } of [a, b]) {
    const { bytes } = cachedOf(image, new Set());
    if (bytes > 0) console.log(`note: ${humanBytes(bytes)} of ${image} could not be evicted`);
  }
  const round = await hastRound(bench.nodes);
  const [local, replica] = [a, b].map(({ image }) => cachedOf(image, difference.chunks));
  if (!local || !replica) throw new Error('two images');
  const { rawBytes, boundBytes, chunkBytes } = difference;
  return { change: { rawBytes, boundBytes, chunkBytes }, round, local, replica };
}

/** Figures of a wrong copy are worth nothing. */
function check({ nodes, images, options }: Bench): void {
  const { sizeBytes } = options;
  for (const other of [nodes.a.image, nodes.b.image]) {
    const { rawBytes } = compareImages(images.source, other, sizeBytes);
    if (rawBytes > 0) throw new Error(`${rawBytes} bytes of ${other} differ from what was written`);
  }
  console.log('\nafter all rounds: primary and replica hold exactly what the guest wrote');
}
