// What was dirty when the last run ended, as far as its files can be believed (H8, H9, H11). Pages
// and headers have checks and twins; a file that is whole but older than it should be, because a
// write of it never reached the medium, is told by the generation of resource.json that it was
// published under: a clean stop names that of its maps, and a run the least that theirs have. Every
// doubt is logged with the file, and marks too much, never too little.
import { assert, present } from '../base/assert.js';
import { describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Fingerprints } from '../disk/fingerprints.js';
import type { IntentHeader } from '../format/intent-file.js';
import { isUnreadable } from '../format/unreadable.js';
import type { BlockMap } from '../tracking/block-map.js';
import { loadDirty } from '../tracking/dirty-map.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { Core } from '../volume/core.js';
import { createIntentFile, IntentOwner } from '../volume/intent.js';
import type { Volume } from '../volume/volume.js';
import { recordOf } from './contact.js';

export interface RecoverParts {
  readonly files: Files;
  readonly resourceFile: ResourceFile;
  readonly fingerprints: Fingerprints;
  readonly log: Log;
  /** Names, in the order of their slots. */
  readonly targets: readonly string[];
}

/** What recovery found. 'exact': clean stop. 'extents': the daemon had crashed. 'all': doubt. */
export type Belief = 'exact' | 'extents' | 'all';

/** H11: the maps are believed only if everything agrees. */
export async function believe(parts: RecoverParts): Promise<Belief> {
  const { state, copiesAgreed } = parts.resourceFile;
  const { fingerprints, log } = parts;
  if (state.doubt !== null) {
    log.warn('everything is compared', { why: state.doubt });
    return 'all';
  }
  const now = await fingerprints.now();
  if (state.clean !== null) {
    // Whatever becomes of the maps: nobody may have written since.
    const differs = fingerprints.differs(state.clean.fingerprint, now, 'untouched');
    if (differs !== null) {
      log.warn('the disk was touched while hastd was down; everything is compared', { differs });
      return 'all';
    }
    if (copiesAgreed) return 'exact';
  }
  // With metaflush the intent map is as durable as the data: a power failure leaves extents too.
  const { running } = state;
  if (running !== null && (running.metaflush || running.bootId === fingerprints.bootId)) {
    const differs = fingerprints.differs(running.fingerprint, now, 'same-disk');
    if (differs === null) return 'extents';
    log.warn('another disk stands in its place; everything is compared', { differs });
  }
  return 'all';
}

/** Marks what is dirty, or may be, in the pending map of each target. */
export async function recoverDirty(
  parts: RecoverParts,
  volume: Volume,
  intent: IntentOwner,
  belief: Belief,
): Promise<void> {
  const { resourceFile, log } = parts;
  const { trouble } = resourceFile;
  if (trouble !== null)
    log.warn('a copy of the state is lost; the other one counts', { why: trouble });
  for (const [slot, target] of parts.targets.entries()) {
    const pending = volume.pending(slot);
    const { point, away } = recordOf(resourceFile, target);
    if (belief === 'all' || point === null || away) {
      pending.markAll();
      continue;
    }
    const why = await loadPublished(parts, target, pending, belief);
    if (why !== null) {
      log.warn('no whole map of what is dirty; everything is compared', { target, why });
      pending.markAll();
    }
    if (belief === 'extents') {
      const extents = intent.markExtents(pending);
      log.info('extents in doubt after a crash of the daemon', { target, extents });
    }
  }
}

/** Null: `into` has it. Else why there is no map to be believed. */
async function loadPublished(
  { files, resourceFile: { directory, state } }: RecoverParts,
  target: string,
  into: BlockMap,
  belief: Belief,
): Promise<string | null> {
  const resource = present(state.resource, 'a primary has a resource id');
  const path = `${directory}/${target}.dirty`;
  const known = belief === 'exact' ? state.clean : state.running;
  try {
    if (await loadDirty(files, path, resource, into, known?.maps)) return null;
    return `${path}: missing, or of another disk`;
  } catch (error) {
    if (isUnreadable(error)) return describeError(error);
    throw error;
  }
}

/** The intent map, made anew where it is not whole: `whole` false, nothing may be believed then. */
export async function openIntent(parts: RecoverParts, core: Core, path: string) {
  const { files, resourceFile, log } = parts;
  const { state } = resourceFile;
  const header = {
    resource: present(state.resource, 'a primary has a resource id'),
    sizeBytes: state.sizeBytes,
    extentBytes: state.extentBytes,
  };
  const found = (await files.exists(path)) ? await loadIntent(parts, core, path, header) : null;
  if (found?.load === 'whole') {
    // What a daemon that was killed left may be in the page cache only (H10).
    await found.handle.sync();
    return { ...found, whole: true };
  }
  await found?.handle.close();
  const grown = found?.load === 'smaller';
  if (!grown && state.running !== null) {
    const why = found === null ? 'missing' : 'cut short, or not whole, or of another disk';
    log.warn('no whole intent map; everything is compared', { path, why });
  }
  await createIntentFile(files, path, header, grown ? core.memory.intent : null);
  // Where it cannot even be read back now, no role is taken: that is an error, and no doubt.
  const handle = await files.open(path, 'write');
  try {
    const intent = new IntentOwner(core, handle, resourceFile.state.keepdirty);
    assert((await intent.load(header)) === 'whole', 'what was just made is whole');
    return { handle, intent, whole: grown };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function loadIntent(parts: RecoverParts, core: Core, path: string, header: IntentHeader) {
  const { files, resourceFile, log } = parts;
  const handle = await files.open(path, 'write');
  const intent = new IntentOwner(core, handle, resourceFile.state.keepdirty);
  const differ = (offset: number): void =>
    log.warn('copies of a page of the intent map differ; both count', { path, offset });
  try {
    return { handle, intent, load: await intent.load(header, differ) };
  } catch (error) {
    log.warn('the intent map is not whole', { why: describeError(error) });
    return { handle, intent, load: 'foreign' as const };
  }
}
