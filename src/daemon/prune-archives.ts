// `hastctl prune` of a primary: its archives, one after the other, between their rounds; what goes,
// and what of the rule keeps the rest. The rule decides when a point is made; a prune removes what
// the newest one does not keep any more.
import { isoTime } from '../base/clock.js';
import type { ResourceSettings } from '../config/settings.js';
import { ControlError } from '../control/api.js';
import type { PruneAnswer, PrunedPoint, PruneRequest } from '../control/retention-api.js';
import type { TargetDriver } from './target-driver.js';

/** Of a primary. */
export interface PrunedResource {
  readonly settings: Pick<ResourceSettings, 'name'>;
  readonly parts: { readonly drivers: readonly TargetDriver[] };
}

/** Errors CONTROL_NO_TARGET when no archive is meant, TARGET_LOST. */
export async function prunePrimary(
  { settings, parts: { drivers } }: PrunedResource,
  { target, dryRun }: PruneRequest,
): Promise<PruneAnswer> {
  const all = drivers.filter((driver) => driver.settings.archive !== null);
  const chosen = all.filter(({ name }) => target === null || name === target);
  if (chosen.length === 0) {
    const known = all.map(({ name }) => name).join(', ') || 'no archive';
    const wanted = target ?? 'that is an archive';
    throw new ControlError({
      code: 'CONTROL_NO_TARGET',
      name: settings.name,
      target: wanted,
      known,
    });
  }
  const archives: PruneAnswer['archives'][number][] = [];
  for (const driver of chosen) archives.push(await pruneOne(driver, dryRun));
  return { archives, replica: null };
}

async function pruneOne(
  driver: TargetDriver,
  dryRun: boolean,
): Promise<PruneAnswer['archives'][number]> {
  const url = driver.settings.archive?.url ?? '';
  const nothing = { packs: 0, packBytes: 0, heldPacks: 0, heldBytes: 0 };
  // Its session is that of its turn: the one before may be renewed meanwhile, and is closed then.
  const pruned = await driver.exclusive(async () => {
    const { target } = await driver.parts.link.get();
    return (await target.prune?.(dryRun)) ?? null;
  });
  if (pruned === null) {
    return { target: driver.name, url, dryRun, removed: [], pinned: [], kept: [], ...nothing };
  }
  const { result, kept } = pruned;
  const { removed, pinned, ...packs } = result;
  return {
    target: driver.name,
    url,
    dryRun,
    removed: removed.map(shown),
    pinned: pinned.map(shown),
    kept: kept.map((point) => ({ ...shown(point), keptBy: point.keptBy })),
    ...packs,
  };
}

const shown = ({ number, timeMs }: { number: number; timeMs: number }): PrunedPoint => ({
  number,
  time: isoTime(timeMs),
});
