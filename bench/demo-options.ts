// Command line of the demonstration: `npm start -- [PATH] [options]`. Sizes are bytes.
// What is refused here is refused before anything is made on disk.
import { resolve } from 'node:path';
import { Command, CommanderError } from 'commander';
import type { Random } from '../src/base/random.js';
import { MIB, SECTOR_BYTES } from '../src/base/units.js';
import { sizeBytes, wholeNumber } from '../src/config/value.js';
import { DemoError } from './demo-fault.js';

export interface DemoOptions {
  /** The user's own image, or null: one is made. */
  readonly image: string | null;
  readonly sizeBytes: number;
  readonly seed: number;
  /** The folder stays after success, too. */
  readonly keep: boolean;
  /** The promoted disk is changed by one byte, so that the comparison must find it. */
  readonly flipByte: boolean;
}

const SIZE_BYTES_MIN = 16 * MIB;
const SEEDS = 1_000_000_000;

interface Words {
  readonly size: string;
  readonly seed?: string;
  readonly keep?: boolean;
  readonly flipByte?: boolean;
}

/** Null when help was asked for (and printed). Error DEMO_USAGE. */
export function readOptions(args: readonly string[], random: Random): DemoOptions | null {
  const command = new Command('npm start --')
    .description(
      'hast, shown: a disk is copied off-site on schedule, its primary is killed, the replica ' +
        'takes over and is compared. Both nodes run on this machine; all they write is in one ' +
        'new folder.',
    )
    .argument('[path]', 'your own raw disk image; it is copied and never touched')
    .option('--size <size>', 'size of the disk that is made without a path', '512M')
    .option('--seed <number>', "repeats the guest's choices; their timing differs")
    .option('--keep', 'keep the folder; after a failure it is kept in any case')
    .option('--flip-byte', 'change one byte of the promoted disk, to see the comparison fail')
    .helpOption('--help', 'print this')
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  try {
    command.parse([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    throw usage(`${error.message.replace(/^error: /, '')} (--help lists the options)`);
  }
  const words = command.opts<Words>();
  const [path] = command.args;
  return {
    image: path === undefined ? null : resolve(startFolder(), path),
    sizeBytes: readSize(words.size),
    seed: words.seed === undefined ? random.below(SEEDS) : readSeed(words.seed),
    keep: words.keep ?? false,
    flipByte: words.flipByte ?? false,
  };
}

/** Where the user stands: npm changes to the top folder of the package and tells in INIT_CWD. */
const startFolder = (): string =>
  (process.env['npm_lifecycle_event'] === 'start' && process.env['INIT_CWD']) || process.cwd();

const usage = (text: string) => new DemoError({ code: 'DEMO_USAGE', text });

function readSize(text: string): number {
  const bytes = sizeBytes(text);
  if (bytes === null) throw usage(`--size ${text}: not a size; write one such as 512M or 2G`);
  if (bytes % SECTOR_BYTES !== 0) throw usage(`--size ${text}: not a multiple of ${SECTOR_BYTES}`);
  if (bytes < SIZE_BYTES_MIN) throw usage(`--size ${text}: too small; write 16M or more`);
  return bytes;
}

function readSeed(text: string): number {
  const seed = wholeNumber(text);
  if (seed === null) throw usage(`--seed ${text}: not a number of 0 to 999999999`);
  return seed;
}
