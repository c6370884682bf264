// `npm run bench -- round|nbd|night|serve|archive [options]`: measures this program beside its
// peers, interleaved, on this machine. Prints the circumstances, every round and the medians, and
// keeps all of it as JSON. Ends with status 1 when a bar is failed or something could not be
// measured.
import { tmpdir } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { describeError } from '../src/base/errors.js';
import { GIB, MIB } from '../src/base/units.js';
import { benchArchive } from './archive-bench.js';
import { benchNbd } from './nbd-bench.js';
import { benchNight } from './night-bench.js';
import { benchRound } from './round-bench.js';
import { benchServe } from './serve-bench.js';

/** `disk` is the file system of --directory. */
const FS = ['disk', 'tmpfs', 'both'];
const QUICK_PAIRS = 3;
const LATENCIES_MS: readonly number[] = [20, 100];

const program = new Command('bench').description('benchmarks of hast against its peers');

program
  .command('round')
  .description('1 % random 4 KiB writes on a disk in use: hast against rsync')
  .option('--size <size>', 'size of the disk, as 512M or 4G', size, 4 * GIB)
  .option('--pairs <n>', 'how often each is measured', count, 3)
  .option('--seed <n>', 'of content and places (also HAST_SEED)', count, seedFromEnv())
  .option('--directory <path>', 'where the images are made', tmpdir())
  .option('--evict', 'drop the images from the page cache before every measurement', false)
  .option('--profiles <path>', 'write CPU profiles of both hastds there')
  .action(async ({ size: sizeBytes, profiles, ...options }) => {
    const passed = await benchRound({ ...options, sizeBytes, profiles: profiles ?? null });
    if (!passed) process.exitCode = 1;
  });

program
  .command('nbd')
  .description('the NBD export against qemu-nbd and nbdkit, with fio; about half an hour')
  .option('--size <size>', 'size of each disk; six at most at once', size, GIB / 2)
  .option('--seconds <n>', 'length of one measurement', count, 1)
  .option('--pairs <n>', 'how often each is measured', count, 9)
  .option('--seed <n>', 'of the content of the disks (also HAST_SEED)', count, seedFromEnv())
  .option('--directory <path>', 'where the images are made, best on ext4', tmpdir())
  .option('--memory <path>', 'where those in memory are made', '/dev/shm')
  .addOption(new Option('--fs <which>', 'where to measure').choices(FS).default('both'))
  .option('--case <text>', 'only workloads whose name contains this, and nothing beside them')
  .option('--quick', 'what the bars are about, and three pairs unless --pairs says how many', false)
  .option('--profiles <path>', 'write CPU profiles of both hastds there')
  .action(async ({ size: sizeBytes, fs, case: only, quick, profiles, ...options }, command) => {
    const isGiven = command.getOptionValueSource('pairs') === 'cli';
    const passed = await benchNbd({
      ...options,
      ...(quick && !isGiven ? { pairs: QUICK_PAIRS } : {}),
      quick,
      sizeBytes,
      places: (['disk', 'tmpfs'] as const).filter((place) => fs === 'both' || fs === place),
      only: only ?? null,
      profiles: profiles ?? null,
    });
    if (!passed) process.exitCode = 1;
  });

program
  .command('night')
  .description("a server's disk after a night of work: hast against rsync; needs root")
  .option('--size <size>', 'size of the disk, half of it in use', size, 4 * GIB)
  .option('--pairs <n>', 'how often each is measured', count, 3)
  .option('--seed <n>', 'of content and places (also HAST_SEED)', count, seedFromEnv())
  .option('--directory <path>', 'where the images are made, best on ext4', tmpdir())
  .option('--evict', 'drop the images from the page cache before every measurement', false)
  .option('--profiles <path>', 'write CPU profiles of both hastds there')
  .action(async ({ size: diskBytes, profiles, ...options }) => {
    const passed = await benchNight({ ...options, diskBytes, profiles: profiles ?? null });
    if (!passed) process.exitCode = 1;
  });

program
  .command('serve')
  .description('a point of an archive over NBD, by the latency of its store; needs root')
  .option('--size <size>', 'size of the disk', size, GIB)
  .option('--latency <ms...>', 'milliseconds of each request', latency, LATENCIES_MS)
  .option('--seed <n>', 'of the archive (also HAST_SEED)', count, seedFromEnv())
  .option('--directory <path>', 'where image and archive are made', tmpdir())
  .action(async ({ size: diskBytes, latency: latenciesMs, ...options }) => {
    if (!(await benchServe({ ...options, diskBytes, latenciesMs }))) process.exitCode = 1;
  });

program
  .command('archive')
  .description('restore points of a disk in a directory: hast, restic, borg; needs root')
  .option('--size <size>', "size of the night's disk, half of it in use", size, 4 * GIB)
  .option('--pairs <n>', 'how often each restores', count, 3)
  .option('--sparse <gib>', 'GiB of a sparse disk, for memory', count, 4096)
  .option('--content <size>', 'content of the sparse disk', size, 2 * GIB)
  .option('--no-sparse', 'without the sparse disk')
  .option('--seed <n>', 'of content and places (also HAST_SEED)', count, seedFromEnv())
  .option('--directory <path>', 'where images and archives are made, best on ext4', tmpdir())
  .option('--memory <path>', 'where restores go', '/dev/shm')
  .option('--quick', 'disks of 256M and of 64 GiB with 64M, unless they are given', false)
  .option('--profiles <path>', 'write CPU profiles of hastd and hastctl there')
  .action(async ({ size: diskBytes, content, sparse, quick, profiles, ...options }, command) => {
    const isGiven = (name: string): boolean => command.getOptionValueSource(name) === 'cli';
    const passed = await benchArchive({
      ...options,
      diskBytes: quick && !isGiven('size') ? GIB / 4 : diskBytes,
      contentBytes: quick && !isGiven('content') ? 64 * MIB : content,
      sparseBytes: sparse === false ? 0 : (quick && !isGiven('sparse') ? 64 : sparse) * GIB,
      profiles: profiles ?? null,
    });
    if (!passed) process.exitCode = 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(`bench: ${describeError(error)}`);
  process.exitCode = 1;
}

function size(text: string): number {
  const match = /^(\d+)([MG])$/.exec(text);
  const bytes = Number(match?.[1]) * (match?.[2] === 'G' ? GIB : MIB);
  if (bytes >= 64 * MIB) return bytes;
  throw new InvalidArgumentError('write it as 512M or 4G, at least 64M');
}

function count(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('a whole number above 0');
}

/** The first one that is given takes the place of the default. */
function latency(text: string, before: readonly number[]): readonly number[] {
  const value = text === '0' ? 0 : count(text);
  return before === LATENCIES_MS ? [value] : [...before, value];
}

/** The seed that repeats a run; 1 unless given. */
function seedFromEnv(): number {
  const value = Number(process.env['HAST_SEED'] ?? '1');
  return Number.isSafeInteger(value) && value > 0 ? value : 1;
}
