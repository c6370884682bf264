// The primary's side of one resource, opened: what was dirty is known again, and the clean mark is
// gone before any guest can write (H8). After a clean stop the maps are exact; after a crash of the
// daemon TARGET.dirty and the intent extents say it (H9); in every other case all is doubted
// (H11, H12): marked dirty, then settled while the guest is served.
import { present } from '../base/assert.js';
import type { Clock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Files } from '../base/files.js';
import type { Log } from '../base/log.js';
import type { Random } from '../base/random.js';
import { allEnded } from '../base/sync.js';
import { MIB } from '../base/units.js';
import type { Device } from '../disk/device.js';
import type { Fingerprints } from '../disk/fingerprints.js';
import type { Compute } from '../format/compute.js';
import type { BlockMap } from '../tracking/block-map.js';
import { DigestTable } from '../tracking/digest-table.js';
import { EntryLog } from '../tracking/entry-log.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { TableWatch } from '../tracking/table-watch.js';
import { Core } from '../volume/core.js';
import { allocateVolume, THREADS_MAX, type VolumeMemory } from '../volume/memory.js';
import { fileSpill, type Spill } from '../volume/spill.js';
import { Volume } from '../volume/volume.js';
import type { Waiter } from '../volume/waiter.js';
import { recordOf } from './contact.js';
import { DirtyKeeper } from './dirty-keeper.js';
import { Doubt, syncFailed } from './doubt.js';
import type { RoundParts } from './parts.js';
import { type Belief, believe, openIntent, recoverDirty } from './recover-dirty.js';
import { withDrained, withPresent } from './target-records.js';

/** Of the page cache, dropped at once. */
const DROP_BYTES = 256 * MIB;

export interface PrimaryParts {
  readonly files: Files;
  readonly resourceFile: ResourceFile;
  readonly device: Device;
  readonly fingerprints: Fingerprints;
  readonly compute: Compute;
  readonly waiter: Waiter;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Of each target. */
  readonly spillBytes: number;
  /** An intent bit is durable before the first write to its extent (H10). */
  readonly metaflush: boolean;
  /** Names, in the order of their slots. */
  readonly targets: readonly string[];
}

export interface Primary {
  readonly memory: VolumeMemory;
  readonly volume: Volume;
  readonly dirty: DirtyKeeper;
  readonly doubt: Doubt;
  readonly belief: Belief;
  readonly rounds: readonly RoundParts[];
  /** Paths that data threads open themselves; one spill a target, by slot. */
  readonly intentPath: string;
  readonly spillPaths: readonly string[];
  /** After the writers have ended: flushes, publishes, leaves the clean mark (H8). */
  closeClean(): Promise<void>;
}

/** `parts.device` is owned from here on, also when this throws. */
export async function openPrimary(parts: PrimaryParts): Promise<Primary> {
  const opened: Pick<Device, 'close'>[] = [];
  try {
    // A doubt of the role before, in this process, that could not be written down (doubt.ts).
    await parts.resourceFile.pay();
    return await open(parts, opened);
  } catch (error) {
    await allEnded([...opened, parts.device].map((each) => () => each.close())).catch(() => {});
    throw error;
  }
}

async function open(parts: PrimaryParts, opened: Pick<Device, 'close'>[]): Promise<Primary> {
  const { files, resourceFile } = parts;
  const { directory, state } = resourceFile;
  const resource = present(state.resource, 'a primary has a resource id');
  const memory = allocateVolume({
    sizeBytes: state.sizeBytes,
    extentBytes: state.extentBytes,
    targets: parts.targets.length,
    spillBytes: parts.spillBytes,
    metaflush: parts.metaflush,
  });
  const core = new Core(memory, THREADS_MAX - 1);
  const spillPaths = parts.targets.map((target) => `${directory}/${target}.spill`);
  const spills: Spill[] = [];
  for (const path of spillPaths) {
    const handle = await files.open(path, 'truncate');
    opened.push(handle);
    spills.push(fileSpill(handle));
  }
  const { device, waiter, clock } = parts;
  const doubt = new Doubt(resourceFile, parts.log);
  const onSuspect = (error: unknown) => doubt.raise(syncFailed(describeError(error)));
  const onSwap = (written: BlockMap): void => found.intent.noteWritten(written);
  const volume = new Volume(core, { device, spills, waiter, clock, onSuspect, onSwap });
  const intentPath = `${directory}/intent.map`;
  const found = await openIntent(parts, core, intentPath);
  opened.push(found.handle);
  const belief = found.whole ? await believe(parts) : 'all';
  // H18: the page cache may hold what the disk does not, and a daemon that was killed may not have
  // got to write that down; what is compared, and sent, comes from the disk.
  if (belief !== 'exact') await dropCached(device, waiter);
  await recoverDirty(parts, volume, found.intent, belief);
  const dirty = new DirtyKeeper({
    files,
    resourceFile,
    volume,
    intent: found.intent,
    targets: parts.targets,
    resource,
  });
  await dirty.publishAll();
  const fingerprint = await parts.fingerprints.now();
  await resourceFile.update((old) => ({
    ...old,
    clean: null,
    doubt: null,
    targets: withDrained(withPresent(old.targets, parts.targets), () => false),
    running: {
      bootId: parts.fingerprints.bootId,
      fingerprint,
      metaflush: parts.metaflush,
      maps: dirty.published,
    },
  }));
  const rounds: RoundParts[] = [];
  for (const [slot, target] of parts.targets.entries()) {
    const round = await openRound(parts, volume, dirty, resource, target, slot);
    opened.push(round.table, round.entries);
    rounds.push(round);
  }
  const closeClean = async (): Promise<void> => {
    // The word of a data thread may be lost.
    if (volume.suspect) await doubt.raise(syncFailed('see the log'));
    const settled = doubt.why === null ? await publishClean(parts, volume, dirty) : 'in doubt';
    await doubt.write();
    parts.log.info('maps published', { settled });
    await allEnded([volume, ...opened].map((each) => () => each.close()));
  };
  return { memory, volume, dirty, doubt, belief, rounds, intentPath, spillPaths, closeClean };
}

/** In pieces, with turns between them: 0.1 s for each GiB that is in the page cache, and the round
 * thread has other resources. */
async function dropCached(device: Device, waiter: Waiter): Promise<void> {
  for (let at = 0; at < device.sizeBytes; at += DROP_BYTES) {
    device.dropCached(at, Math.min(DROP_BYTES, device.sizeBytes - at));
    await waiter.turn();
  }
}

async function openRound(
  parts: PrimaryParts,
  volume: Volume,
  dirty: DirtyKeeper,
  resource: Uint8Array,
  target: string,
  slot: number,
): Promise<RoundParts> {
  const { files, resourceFile, compute, clock, random } = parts;
  const base = `${resourceFile.directory}/${target}`;
  const facts = { resource, sizeBytes: resourceFile.state.sizeBytes };
  const { point, proposed } = recordOf(resourceFile, target);
  const watch: TableWatch = {
    // Ladder step 7 comes before step 8.
    points: [point, proposed?.point ?? null].flatMap((each) => each?.id ?? []),
    bad: (place, why) => parts.log.warn('a digest table has lost digests', { target, place, why }),
  };
  return {
    target,
    slot,
    resourceFile,
    files,
    volume,
    dirty,
    table: await DigestTable.open(files, `${base}.digests`, facts, watch),
    entries: new EntryLog(await files.open(`${base}.entries`, 'truncate')),
    compute,
    clock,
    random,
    log: parts.log.child({ target }),
  };
}

/** Everything is in the maps and on the disk before the clean mark says so. */
async function publishClean(
  parts: PrimaryParts,
  volume: Volume,
  dirty: DirtyKeeper,
): Promise<'clean' | 'busy' | 'unclean'> {
  try {
    await volume.sync();
    // A generation that no earlier publication has.
    await parts.resourceFile.update((state) => state);
    if ((await dirty.checkpoint()) === 'busy') return 'busy';
    const fingerprint = await parts.fingerprints.now();
    const drained = (name: string): boolean => {
      const slot = parts.targets.indexOf(name);
      return slot >= 0 && volume.dirtyBytes(slot) === 0;
    };
    await parts.resourceFile.update((state) => ({
      ...state,
      clean: { fingerprint, maps: dirty.published },
      targets: withDrained(state.targets, drained),
    }));
    return 'clean';
  } catch (error) {
    parts.log.error('no clean stop', { error: String(error), suspect: volume.suspect });
    return 'unclean';
  }
}
