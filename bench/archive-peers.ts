// The programs that the archive benchmark compares with: restic and borg, each with a directory as
// its repository and one image as what it backs up, as their manuals advise for disk images
// (restic: repository version 2 with its own compression; borg: chunks of 4 MiB, zstd 3, not
// encrypted).
// restic encrypts always. "Objects" are files that are new or changed in the repository: the PUTs
// that it would be; the locks that both make and remove are not among them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Cost, growth, meteredRun, storedIn } from './archive-meters.js';
import { run } from './meters.js';

export interface BackedUp extends Cost {
  readonly objects: number;
  readonly storedBytes: number;
}

export interface Restored extends Cost {
  /** Until it is on the medium, too. */
  readonly durableSeconds: number;
}

export interface Peer {
  readonly name: string;
  readonly version: string;
  /** What a reader of its figures has to know. */
  readonly note: string;
  backup(): Promise<BackedUp>;
  /** Into the empty directory; returns where the image is. */
  restore(into: string): Promise<Restored & { readonly path: string }>;
}

export interface Missing {
  readonly name: string;
  readonly reason: string;
}

type Maker = (folder: string, image: string) => Promise<Peer | Missing>;

/** Each in a repository of its own in `folder`; `image` is what is backed up, whenever it is. */
export const PEERS: readonly Maker[] = [resticPeer, borgPeer];

async function resticPeer(folder: string, image: string): Promise<Peer | Missing> {
  const name = 'restic';
  const version = versionOf(name, ['version']);
  if (version === null) return { name, reason: 'restic is not installed (Debian: restic)' };
  const repository = join(folder, 'restic');
  const env = {
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD: 'bench',
    RESTIC_CACHE_DIR: join(folder, 'restic-cache'),
  };
  const restic = (...args: readonly string[]) => meteredRun(name, args, { env });
  await restic('init', '--quiet', '--repository-version', '2');
  const canBeSparse = (await run(name, ['help', 'restore'])).stdout.includes('--sparse');
  const sparse = canBeSparse ? ['--sparse'] : [];
  return {
    name,
    version,
    note: canBeSparse ? 'restores with --sparse' : 'has no --sparse yet: it writes zeroes, too',
    backup: () => backedUp(repository, () => restic('backup', '--quiet', image)),
    restore: async (into) => {
      const cost = await restored(into, () =>
        restic('restore', 'latest', '--quiet', '--target', into, ...sparse),
      );
      return { ...cost, path: join(into, image) };
    },
  };
}

async function borgPeer(folder: string, image: string): Promise<Peer | Missing> {
  const name = 'borg';
  const version = versionOf(name, ['--version']);
  if (version === null) return { name, reason: 'borg is not installed (Debian: borgbackup)' };
  const repository = join(folder, 'borg');
  const base = join(folder, 'borg-base');
  mkdirSync(base);
  const env = {
    BORG_BASE_DIR: base,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
    BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
  };
  const borg = (cwd: string, args: readonly string[]) => meteredRun(name, args, { env, cwd });
  await borg(folder, ['init', '--encryption', 'none', repository]);
  let archives = 0;
  const how = ['--compression', 'zstd,3', '--chunker-params', 'fixed,4194304'];
  return {
    name,
    version,
    note: 'its files are segments of up to 500 MiB: no objects as a store has them',
    backup: () => {
      archives += 1;
      const args = ['create', ...how, `${repository}::${archives}`, basename(image)];
      return backedUp(repository, () => borg(dirname(image), args));
    },
    restore: async (into) => {
      const args = ['extract', '--sparse', `${repository}::${archives}`];
      const cost = await restored(into, () => borg(into, args));
      return { ...cost, path: join(into, basename(image)) };
    },
  };
}

async function backedUp(repository: string, work: () => Promise<Cost>): Promise<BackedUp> {
  const before = storedIn(repository);
  const { seconds, cpuSeconds, peakBytes } = await work();
  const { files, bytes } = growth(before, storedIn(repository));
  return { seconds, cpuSeconds, peakBytes, objects: files, storedBytes: bytes };
}

/** Makes the directory anew, and measures the work in it, and then until it is durable. */
export async function restored(into: string, work: () => Promise<Cost>): Promise<Restored> {
  rmSync(into, { recursive: true, force: true });
  mkdirSync(into);
  const { seconds, cpuSeconds, peakBytes } = await work();
  const sync = await run('sync', ['--file-system', into]);
  return { seconds, cpuSeconds, peakBytes, durableSeconds: seconds + sync.seconds };
}

/** Null: it is not on the path. */
function versionOf(program: string, args: readonly string[]): string | null {
  const { stdout, error } = spawnSync(program, args, { encoding: 'utf8' });
  return error ? null : (stdout.split('\n')[0]?.trim() ?? '');
}
