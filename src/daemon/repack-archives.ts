// `hastctl repack` of a primary: its archives, one after the other, between their rounds. Each is
// told which packs to leave, and its next round, which begins at once and is nobody's to wait for,
// sends what the newest point needs of them.
import type { RepackAnswer, RepackRequest } from '../control/retention-api.js';
import { chosenArchives, type PrunedResource, shown } from './prune-archives.js';
import type { TargetDriver } from './target-driver.js';

/** Errors CONTROL_NO_TARGET when no archive is meant, TARGET_LOST. */
export async function repackPrimary(
  resource: PrunedResource,
  { target, ...order }: RepackRequest,
): Promise<RepackAnswer> {
  const archives: RepackAnswer['archives'][number][] = [];
  for (const driver of chosenArchives(resource, target)) {
    archives.push(await repackOne(driver, order));
  }
  return { archives };
}

async function repackOne(
  driver: TargetDriver,
  order: Omit<RepackRequest, 'target'>,
): Promise<RepackAnswer['archives'][number]> {
  const { target } = await driver.parts.link.get();
  const plan = await driver.exclusive(async () => (await target.repack?.(order)) ?? null);
  const toDo = !order.dryRun && plan !== null && plan.leaving.size > 0;
  if (toDo) await driver.sync({ wait: null });
  return {
    target: driver.name,
    url: driver.settings.archive?.url ?? '',
    dryRun: order.dryRun,
    packs: plan?.leaving.size ?? 0,
    packBytes: plan?.packBytes ?? 0,
    neededBytes: plan?.neededBytes ?? 0,
    sendBytes: plan?.sendBytes ?? 0,
    puts: plan?.puts ?? 0,
    holders: plan?.holders.map(shown) ?? [],
    heldPacks: plan?.youngPacks ?? 0,
    heldBytes: plan?.youngBytes ?? 0,
  };
}
