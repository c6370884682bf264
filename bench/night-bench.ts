// `npm run bench -- night`: what a night of ordinary work costs to carry. Two images of a server's
// disk, evening and morning (night-work.ts says what they imitate); hast gets the difference
// written through its export and carries it in one round, rsync gets the two images. Three
// contestants, pair after pair, each first in turn; afterwards everybody goes back to the evening.
// All bytes are counted at a proxy on loopback, payload of TCP. What it does not show: a real
// network, a slow disk, a replica that is used meanwhile.
import { constants, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { humanBytes } from '../src/base/units.js';
import { hastRound } from './hast-round.js';
import { keepResult, machineFacts, printMachine } from './machine.js';
import { loadNow, rotated } from './meters.js';
import { makeNightImages, type NightImages } from './night-image.js';
import { type Run, replay, runsBetween, writeRuns } from './night-replay.js';
import { type NightPair, nightBars, printNight, printNightPair } from './night-report.js';
import { evict, syncFiles } from './residency.js';
import { compareImages, type Difference } from './round-image.js';
import { type Carried, type CarriedRound, printBars } from './round-report.js';
import { RsyncDaemon } from './round-rsync.js';
import { profilesTo, startTwoNodes, type TwoNodes } from './two-nodes.js';

export interface NightBenchOptions {
  readonly diskBytes: number;
  readonly pairs: number;
  readonly seed: number;
  /** Where the images are made: six times the used part of the disk. */
  readonly directory: string;
  /** Drop all images from the page cache before every measurement. */
  readonly evict: boolean;
  /** Folder for CPU profiles of both hastds; null: none are made. */
  readonly profiles: string | null;
}

/** What people who know rsync give it for disk images. */
const TUNED = ['--block-size=4096', '--compress', '--compress-choice=zstd', '--compress-level=3'];

interface Bench {
  readonly options: NightBenchOptions;
  readonly nodes: TwoNodes;
  readonly rsync: RsyncDaemon;
  readonly images: NightImages;
  readonly targets: { readonly plain: string; readonly tuned: string };
  readonly difference: Difference;
  readonly forward: readonly Run[];
  readonly back: readonly Run[];
}

/** Runs all of it; false when a bar is missed. */
export async function benchNight(options: NightBenchOptions): Promise<boolean> {
  const { directory, seed } = options;
  const machine = machineFacts(directory, seed, ['rsync']);
  printMachine(machine);
  const folder = mkdtempSync(join(directory, 'hast-bench-'));
  try {
    const { difference, pairs } = await inFolder(folder, options);
    const { rawBytes, boundBytes, chunkBytes } = difference;
    const change = { rawBytes, boundBytes, chunkBytes };
    const bars = nightBars(pairs, change);
    printNight(pairs);
    printBars(bars);
    keepResult('night', machine, { settings: options, change, bars, pairs });
    return bars.every(({ verdict }) => verdict !== 'FAIL');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function inFolder(
  folder: string,
  options: NightBenchOptions,
): Promise<{ readonly difference: Difference; readonly pairs: readonly NightPair[] }> {
  const { diskBytes, seed } = options;
  const images = await makeNightImages(folder, diskBytes, seed);
  const copyTo = (name: string): string => {
    const path = join(folder, name);
    copyFileSync(images.before, path, constants.COPYFILE_FICLONE);
    return path;
  };
  copyTo('a.img');
  const targets = { plain: copyTo('rsync-plain.img'), tuned: copyTo('rsync-tuned.img') };
  const difference = compareImages(images.before, images.after, diskBytes);
  const forward = runsBetween(images.before, images.after, diskBytes);
  const back = runsBetween(images.after, images.before, diskBytes);
  printChange(difference, forward, options);
  const nodes = await startTwoNodes(folder, profilesTo(options.profiles));
  const rsync = await RsyncDaemon.start(folder, true);
  try {
    const bench = { options, nodes, rsync, images, targets, difference, forward, back };
    const first = await hastRound(nodes);
    console.log(`first copy ${first.seconds.toFixed(2)} s, ${humanBytes(first.upBytes)} up`);
    const pairs: NightPair[] = [];
    for (let number = 1; number <= options.pairs; number += 1) {
      const pair = await onePair(bench, number);
      printNightPair(number, pair);
      pairs.push(pair);
      if (number < options.pairs) await backToEvening(bench);
    }
    return { difference, pairs };
  } finally {
    await rsync.close();
    await nodes.close();
  }
}

async function onePair(bench: Bench, number: number): Promise<NightPair> {
  const { nodes, images, rsync, targets, forward } = bench;
  const guestSeconds = await replay(nodes.a.nbdSocket, forward, images.after);
  const load = loadNow();
  let hast: CarriedRound | null = null;
  const carried = new Map<string, Carried>();
  const contestants: readonly (() => Promise<unknown>)[] = [
    async () => {
      hast = await hastRound(nodes);
    },
    async () => carried.set('plain', await rsync.carry(images.after, targets.plain, [])),
    async () => carried.set('tuned', await rsync.carry(images.after, targets.tuned, TUNED)),
  ];
  const all = [images.after, nodes.a.image, nodes.b.image, targets.plain, targets.tuned];
  for (const contestant of rotated(contestants, number - 1)) {
    await (bench.options.evict ? evict(all) : syncFiles(all));
    await contestant();
  }
  const [plain, tuned] = [carried.get('plain'), carried.get('tuned')];
  if (hast === null || !plain || !tuned) throw new Error('a contestant did not run');
  for (const path of all.slice(1)) mustEqual(images.after, path, bench.options.diskBytes);
  return { load, guestSeconds, hast, rsync: plain, tuned };
}

/** Undoes the night everywhere; not measured. */
async function backToEvening(bench: Bench): Promise<void> {
  const { nodes, images, targets, back, options } = bench;
  await replay(nodes.a.nbdSocket, back, images.before);
  await hastRound(nodes);
  for (const path of Object.values(targets)) writeRuns(path, back, images.before);
  mustEqual(images.before, nodes.b.image, options.diskBytes);
}

/** Figures of a wrong copy are worth nothing. */
function mustEqual(wanted: string, got: string, diskBytes: number): void {
  const { rawBytes } = compareImages(wanted, got, diskBytes);
  if (rawBytes > 0) throw new Error(`${rawBytes} bytes of ${got} differ from what was wanted`);
}

function printChange(
  { rawBytes, boundBytes, chunkBytes }: Difference,
  forward: readonly Run[],
  { diskBytes, evict: cold }: NightBenchOptions,
): void {
  const mb = (bytes: number): string => (bytes / 1e6).toFixed(1);
  const zero = forward.reduce((sum, run) => sum + (run.zero ? run.length : 0), 0);
  console.log(
    `night     disk of ${humanBytes(diskBytes)}: ${mb(rawBytes)} MB in ${forward.length} runs ` +
      `have changed (${mb(zero)} MB to zeroes), in chunks of ${mb(chunkBytes)} MB;\n` +
      `bound     ${mb(boundBytes)} MB, the changed blocks in disk order, cut at 1 MiB, zstd -3 ` +
      `each; page cache ${cold ? 'dropped before each measurement' : 'warm'}`,
  );
}
