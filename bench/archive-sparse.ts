// A disk of 4 TiB of which little is in use: half of its content in runs of a MiB, half in single
// blocks at random places, so that nearly each of them has a node of the index for itself. What its
// first copy to an archive and a round of scattered writes take of hastd, and restoring and serving
// it of hastctl: memory is what this is about. Needs a file system with files so long (ext4 does).
import {
  closeSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Random, seededRandom } from '../src/base/random.js';
import { BLOCK_BYTES, MIB } from '../src/base/units.js';
import {
  type ArchiveRound,
  archiveRound,
  hastRestore,
  hastServe,
  type Opened,
} from './archive-hast.js';
import type { Restored } from './archive-peers.js';
import { writeAsGuest } from './guest-writes.js';
import { type Content, seededContent } from './round-content.js';
import { imageOf, profilesTo, startNodes } from './two-nodes.js';

export interface SparseOptions {
  readonly directory: string;
  readonly seed: number;
  readonly sparseBytes: number;
  /** Content of the disk, about. */
  readonly contentBytes: number;
  readonly profiles: string | null;
}

export interface SparseResult {
  readonly contentBytes: number;
  readonly guestWrites: number;
  readonly first: ArchiveRound;
  readonly night: ArchiveRound;
  readonly restore: Restored;
  readonly served: Opened;
}

const NAME = 'big';
const READS = 512;
const GUEST_DEPTH = 16;
/** One scattered write of the guest for so many scattered blocks of the disk. */
const WRITES_SHARE = 8;

export async function measureSparse(options: SparseOptions): Promise<SparseResult> {
  const { directory, seed, sparseBytes, profiles } = options;
  const folder = mkdtempSync(join(directory, 'hast-bench-'));
  const random = seededRandom(seed);
  const content = seededContent(random);
  const image = imageOf(folder, 'a', NAME);
  try {
    const places = makeSparse(image, options, random, content);
    const nodes = await startNodes(folder, [], profilesTo(profiles), [NAME]);
    try {
      const first = await archiveRound(nodes, folder, NAME);
      const writes = Array.from({ length: Math.ceil(places.length / WRITES_SHARE) }, () => ({
        offset: blockBelow(sparseBytes, random),
        bytes: content.page(),
      }));
      await writeAsGuest(nodes.a.nbdSocket, NAME, writes, GUEST_DEPTH);
      const night = await archiveRound(nodes, folder, NAME);
      const written = [...places, ...writes.map(({ offset }) => offset)];
      const into = join(folder, 'restored');
      const { path, ...restore } = await hastRestore(folder, NAME, into, profilesTo(profiles));
      mustHave(image, path, written);
      const served = await hastServe(folder, NAME, written[0] ?? 0, async (client) => {
        const block = Buffer.alloc(BLOCK_BYTES);
        for (let n = 0; n < READS; n += 1) {
          await client.read(written[random.below(written.length)] ?? 0, block);
        }
      });
      const contentBytes = options.contentBytes;
      return { contentBytes, guestWrites: writes.length, first, night, restore, served };
    } finally {
      await nodes.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns where content is: offsets of blocks. */
function makeSparse(
  path: string,
  { sparseBytes, contentBytes }: SparseOptions,
  random: Random,
  content: Content,
): readonly number[] {
  const fd = openSync(path, 'wx');
  const places: number[] = [];
  const run = Buffer.alloc(MIB);
  try {
    for (let bytes = 0; bytes < contentBytes / 2; bytes += MIB) {
      const offset = random.below(Math.floor(sparseBytes / MIB)) * MIB;
      content.fill(run);
      writeSync(fd, run, 0, MIB, offset);
      places.push(offset);
    }
    for (let bytes = 0; bytes < contentBytes / 2; bytes += BLOCK_BYTES) {
      const offset = blockBelow(sparseBytes, random);
      writeSync(fd, content.page(), 0, BLOCK_BYTES, offset);
      places.push(offset);
    }
  } finally {
    closeSync(fd);
  }
  truncateSync(path, sparseBytes);
  return places;
}

const blockBelow = (sizeBytes: number, random: Random): number =>
  random.below(Math.floor(sizeBytes / BLOCK_BYTES)) * BLOCK_BYTES;

/** A wrong copy's figures are worth nothing: all places that were ever written are compared. */
function mustHave(image: string, path: string, places: readonly number[]): void {
  const fds = [openSync(image, 'r'), openSync(path, 'r')] as const;
  const [wanted, got] = [Buffer.alloc(BLOCK_BYTES), Buffer.alloc(BLOCK_BYTES)];
  try {
    for (const offset of places) {
      readSync(fds[0], wanted, 0, BLOCK_BYTES, offset);
      readSync(fds[1], got, 0, BLOCK_BYTES, offset);
      if (!wanted.equals(got)) throw new Error(`the block at ${offset} was not restored`);
    }
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}
