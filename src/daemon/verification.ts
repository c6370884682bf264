// `hastctl verify` of a primary, one target after the other, between its rounds. It certifies no
// more than it compared: chunks that are dirty are said, and the time that `status` shows is that
// of the last comparison of the disks themselves (tables are what both sides believe).
import type { Clock } from '../base/clock.js';
import { verifyTarget } from '../care/verify.js';
import type { ResourceSettings } from '../config/settings.js';
import { ControlError, type VerifyAnswer } from '../control/api.js';
import { recordOf, updateTarget } from '../round/contact.js';
import { StoppedError } from './ran.js';
import type { TargetDriver } from './target-driver.js';

type Result = VerifyAnswer['results'][number];

/** Of a primary. */
export interface VerifiedResource {
  readonly settings: Pick<ResourceSettings, 'name'>;
  readonly parts: { readonly drivers: readonly TargetDriver[] };
}

/** Compares tables, or with `deep` both disks, with every target. Rejects with why one cannot be
 * reached; CONTROL_NO_TARGET when there is none; ROUND_STOPPED soon after `signal` (a GiB is read
 * to its end), and then nothing is certified. */
export async function verifyPrimary(
  { settings, parts: { drivers } }: VerifiedResource,
  deep: boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<VerifyAnswer> {
  if (drivers.length === 0) {
    const none = { target: 'with an address', known: 'none' };
    throw new ControlError({ code: 'CONTROL_NO_TARGET', name: settings.name, ...none });
  }
  const results: Result[] = [];
  for (const driver of drivers) results.push(await verifyWith(driver, deep, clock, signal));
  return { compared: deep ? 'disks' : 'tables', results };
}

async function verifyWith(
  driver: TargetDriver,
  deep: boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<Result> {
  const { round, link } = driver.parts;
  const { target } = await link.get();
  const parts = {
    target,
    table: round.table,
    device: round.volume.device,
    compute: round.compute,
    dirty: (first: number, last: number) => round.volume.isDirty(round.slot, first, last),
  };
  const found = await driver.exclusive(async () => {
    // Before: a round may have run for hours. After: what is cut short counts as no comparison.
    goOn(round.target, signal);
    const result = await verifyTarget(parts, deep, signal);
    goOn(round.target, signal);
    return result;
  });
  const { chunks, differing, dirtyChunks, examples } = found;
  const compared = chunks - dirtyChunks;
  const isSetBack = recordOf(round.resourceFile, round.target).setBack !== undefined;
  if (differing === 0 && compared > 0 && (deep || isSetBack)) {
    const verified = deep ? { verifiedMs: Math.floor(clock.wallMs()) } : {};
    await updateTarget(round, ({ setBack: _, ...record }) => ({ ...record, ...verified }));
  }
  const point = recordOf(round.resourceFile, round.target).point?.number ?? 'none';
  const what = deep ? 'disks' : 'digest tables';
  const said =
    differing === 0
      ? `the ${what} agree at point ${point}`
      : `the ${what} differ in ${differing} ${differing === 1 ? 'chunk' : 'chunks'}`;
  const text = compared === 0 ? 'nothing was compared' : `${said}${left(compared, chunks, deep)}`;
  return { target: round.target, chunks, differing, dirtyChunks, examples, text };
}

/** What was not looked at. */
function left(compared: number, chunks: number, deep: boolean): string {
  const partly = compared < chunks ? `, of the ${compared} chunks that could be compared` : '';
  return `${partly}${deep ? '' : '; no disk was read'}`;
}

function goOn(target: string, signal: AbortSignal): void {
  if (!signal.aborted) return;
  throw new StoppedError({
    code: 'ROUND_STOPPED',
    target,
    why: 'nobody waits for verify any more',
  });
}
