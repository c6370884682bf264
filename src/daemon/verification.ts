// `hastctl verify` of a primary, one target after the other, between its rounds.
import type { Clock } from '../base/clock.js';
import { verifyTarget } from '../care/verify.js';
import type { VerifyAnswer } from '../control/api.js';
import { recordOf, updateTarget } from '../round/contact.js';
import type { PrimaryResource } from './primary-resource.js';
import type { TargetDriver } from './target-driver.js';

/** Compares tables, or with `deep` both disks, with every target. Rejects with why one cannot be
 * reached. */
export async function verifyPrimary(
  resource: PrimaryResource,
  deep: boolean,
  clock: Clock,
): Promise<VerifyAnswer> {
  const results: VerifyAnswer['results'][number][] = [];
  for (const driver of resource.parts.drivers) {
    results.push(await verifyWith(driver, deep, clock));
  }
  return { compared: deep ? 'disks' : 'tables', results };
}

async function verifyWith(
  driver: TargetDriver,
  deep: boolean,
  clock: Clock,
): Promise<VerifyAnswer['results'][number]> {
  const { round, link } = driver.parts;
  const { target } = await link.get();
  const parts = {
    target,
    table: round.table,
    device: round.volume.device,
    compute: round.compute,
    dirty: (first: number, last: number) => round.volume.isDirty(round.slot, first, last),
  };
  const never = new AbortController().signal;
  const verified = await driver.exclusive(() => verifyTarget(parts, deep, never));
  const { chunks, differing, dirtyChunks, examples } = verified;
  const verifiedMs = Math.floor(clock.wallMs());
  if (differing === 0) await updateTarget(round, (record) => ({ ...record, verifiedMs }));
  const point = recordOf(round.resourceFile, round.target).point;
  const what = deep ? 'disks' : 'digest tables';
  const text =
    differing === 0
      ? `the ${what} agree at point ${point?.number ?? 'none'}`
      : `the ${what} differ in ${differing} ${differing === 1 ? 'chunk' : 'chunks'}`;
  return { target: round.target, chunks, differing, dirtyChunks, examples, text };
}
