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
  resource: PrunedResource,
  { target, dryRun }: PruneRequest,
): Promise<PruneAnswer> {
  const archives: PruneAnswer['archives'][number][] = [];
  for (const driver of chosenArchives(resource, target)) {
    archives.push(await pruneOne(driver, dryRun));
  }
  return { archives, replica: null };
}

/** Targets that are archives, or the one of that name. Error CONTROL_NO_TARGET: there is none. */
export function chosenArchives(
  { settings: { name }, parts: { drivers } }: PrunedResource,
  target: string | null,
): readonly TargetDriver[] {
  const all = drivers.filter((driver) => driver.settings.archive !== null);
  const chosen = all.filter((driver) => target === null || driver.name === target);
  if (chosen.length > 0) return chosen;
  const known = all.map((driver) => driver.name).join(', ') || 'no archive';
  const wanted = target ?? 'that is an archive';
  throw new ControlError({ code: 'CONTROL_NO_TARGET', name, target: wanted, known });
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

export const shown = ({ number, timeMs }: { number: number; timeMs: number }): PrunedPoint => ({
  number,
  time: isoTime(timeMs),
});
