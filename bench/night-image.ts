// The two images of the night benchmark: a disk as it was in the evening and as it is in the
// morning. The work is done on a mounted ext4 with discard, so that the changed blocks lie as a
// real file system lays them, its own metadata included. Needs root, mkfs.ext4 and loop devices.
import {
  closeSync,
  constants,
  copyFileSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  rmdirSync,
} from 'node:fs';
import { join } from 'node:path';
import { run } from './meters.js';
import { fillMachine, workOneNight } from './night-work.js';

/** Fixed, so that a run repeats: the layout of directories depends on both. */
const UUID = '5f0c3f5e-0000-4000-8000-686173740001';
const HASH_SEED = '5f0c3f5e-0000-4000-8000-686173740002';

export interface NightImages {
  readonly before: string;
  readonly after: string;
}

/** Makes both in `folder`; sparse, `diskBytes` each. */
export async function makeNightImages(
  folder: string,
  diskBytes: number,
  seed: number,
): Promise<NightImages> {
  if (process.getuid?.() !== 0) throw new Error('the night needs root: it mounts its images');
  const [before, after] = [join(folder, 'before.img'), join(folder, 'after.img')];
  const fd = openSync(before, 'wx');
  ftruncateSync(fd, diskBytes);
  closeSync(fd);
  const features = `hash_seed=${HASH_SEED},lazy_itable_init=0,lazy_journal_init=0`;
  await run('mkfs.ext4', ['-q', '-U', UUID, '-E', features, before]);
  await mounted(folder, before, (root) => fillMachine(root, diskBytes, seed));
  copyFileSync(before, after, constants.COPYFILE_FICLONE);
  await run('fallocate', ['--dig-holes', after]);
  await mounted(folder, after, (root) => workOneNight(root, diskBytes, seed));
  return { before, after };
}

/** Mounts an image for the length of `work`. */
async function mounted(folder: string, image: string, work: (root: string) => void): Promise<void> {
  const root = mkdtempSync(join(folder, 'mnt-'));
  await run('mount', ['-o', 'loop,discard', image, root]);
  try {
    work(root);
    await run('sync', ['-f', root]);
  } finally {
    await run('umount', [root]);
    rmdirSync(root);
  }
}
