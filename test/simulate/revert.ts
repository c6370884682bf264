// A guest that goes back to what its whole disk was at one of the last cuts, as one does that has
// snapshots of its own: content comes back that a digest table may still name (H7: A-B-A).
import type { Random } from '../../src/base/random.js';
import type { Daemon } from './daemon.js';
import type { Run } from './run.js';

/** Cuts whose content may come back. */
const CUTS = 3;

export async function revert(run: Run, daemon: Daemon | null, random: Random): Promise<void> {
  if (daemon === null || !(await daemon.letsIn())) return;
  const { guests, machine } = daemon;
  const older = olderImages(run);
  const image = older[random.below(older.length || 1)];
  if (guests === null || machine.view === null || image === undefined) return;
  await run.guests.revert(guests, machine.view, image, random);
}

/** What the disk was at the last cuts. */
export const olderImages = (run: Run): Uint8Array[] =>
  [...run.truth.cuts.values()].slice(-CUTS).map(({ image }) => image);
