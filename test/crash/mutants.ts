// Wrong orders, made by replacing parts that are handed in: each breaks one rule of RULES.md and
// nothing else. The walk has teeth only if it finds every one of them (teeth.test.ts).
import type { FileHandle, Files } from '../../src/base/files.js';
import { chunkCount } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import type { Fingerprints } from '../../src/disk/fingerprints.js';
import {
  decodeResourceState,
  encodeResourceState,
  type ResourceState,
} from '../../src/format/resource-state.js';
import { recordOf } from '../../src/round/contact.js';
import type { RoundParts } from '../../src/round/parts.js';
import type { Target } from '../../src/target/target.js';
import { publishDirty } from '../../src/tracking/dirty-map.js';
import type { Knobs, PrimaryNode } from './nodes.js';
import type { Pair } from './pair.js';
import { growth } from './story.js';

/** `real` with some members replaced; the others run on the real object. */
export function replaced<T extends object>(real: T, members: Partial<T>): T {
  return new Proxy(real, {
    get(whole, name) {
      if (Object.hasOwn(members, name)) return Reflect.get(members, name);
      const value: unknown = Reflect.get(whole, name, whole);
      return typeof value === 'function' ? value.bind(whole) : value;
    },
  });
}

/** Chunks of the teeth's disk before it grows. */
const GROWN_FROM_CHUNKS = 5;

/** H6 at the sender, step 7 at the receiver: the disk is never synced. */
export const unsynced = (device: Device): Device => replaced(device, { sync: async () => {} });

/** Files whose name has `word` are never synced, nor is the directory for word '/'. */
export const filesUnsynced =
  (word: string) =>
  (files: Files): Files =>
    replaced(files, {
      open: async (path, mode) => {
        const handle = await files.open(path, mode);
        const swallow = path.includes(word) && word !== '/';
        return swallow ? replaced<FileHandle>(handle, { sync: async () => {} }) : handle;
      },
      syncDirectory: (path) => (word === '/' ? Promise.resolve() : files.syncDirectory(path)),
    });

/** H7: whatever the table is true for, it says what the sender wants to hear. */
const flatteringTable = (node: PrimaryNode): RoundParts => {
  const parts = node.round();
  const table = new Proxy(parts.table, {
    get(real, name) {
      if (name === 'point') return recordOf(parts.resourceFile, parts.target).point;
      const value: unknown = Reflect.get(real, name, real);
      return typeof value === 'function' ? value.bind(real) : value;
    },
  });
  return { ...parts, table };
};

/** H7: entries of a round go into the table before the target has committed it. */
const tableBeforeCommit = (link: Target, { parts }: PrimaryNode): Target =>
  replaced(link, {
    commit: async (commit) => {
      const { table, entries } = parts;
      if (commit.from !== null) {
        await table.beginChange();
        await entries.replay((chunk, digest) => table.set(chunk, digest));
        await table.finishChange(commit.from);
      }
      return link.commit(commit);
    },
  });

/** D1: what is frozen is forgotten on disk as soon as it is cut (steps 3 and 9 in one). */
const droppedAtCut = (node: PrimaryNode): RoundParts => {
  const parts = node.round();
  const { resourceFile, files, volume, slot } = parts;
  const publishAll = async (): Promise<void> => {
    const { resource, generation } = resourceFile.state;
    if (resource === null) return;
    const path = `${resourceFile.directory}/${parts.target}.dirty`;
    await publishDirty(files, path, { resource, generation }, [volume.pending(slot)]);
  };
  return { ...parts, dirty: replaced(parts.dirty, { publishAll }) };
};

/** D1: the bits of a round that was not committed are dropped too. */
const neverMerged = (node: PrimaryNode): RoundParts => {
  const parts = node.round();
  return { ...parts, dirty: replaced(parts.dirty, { merge: (frozen) => frozen.end('drop') }) };
};

/** H26: an undo that stands is written again. */
const undoAgain = (files: Files): Files =>
  replaced(files, {
    exists: async (path) => !path.includes('/undo-') && (await files.exists(path)),
  });

/** H8: the clean mark stays when the export opens. */
const cleanForEver = (files: Files): Files => {
  let clean: ResourceState['clean'] = null;
  const keep = (bytes: Uint8Array, path: string): Uint8Array => {
    const state = decodeResourceState(bytes, path);
    clean = state.clean ?? clean;
    return encodeResourceState({ ...state, clean });
  };
  return replaced(files, {
    readWhole: async (path, bytesMax) => {
      const bytes = await files.readWhole(path, bytesMax);
      if (bytes !== null) clean = decodeResourceState(bytes, path).clean ?? clean;
      return bytes;
    },
    open: async (path, mode) => {
      const handle = await files.open(path, mode);
      if (!path.includes('resource.json')) return handle;
      return replaced<FileHandle>(handle, {
        write: (bytes, offset) => handle.write(keep(bytes, path), offset),
      });
    },
  });
};

/** As of a block device after a reboot: nothing tells that it was written. */
const blind = (prints: Fingerprints): Fingerprints => replaced(prints, { differs: () => null });

/** H14: what a growth added is taken for clean. */
const grownUnmarked = (node: PrimaryNode): RoundParts => {
  const parts = node.round();
  const { volume, slot } = parts;
  const chunks = chunkCount(volume.core.memory.sizeBytes);
  if (chunks > GROWN_FROM_CHUNKS) {
    for (let chunk = GROWN_FROM_CHUNKS; chunk < chunks; chunk += 1) {
      volume.pending(slot).clearChunk(chunk);
    }
  }
  return parts;
};

export interface Mutant {
  readonly rule: string;
  readonly knobs: Knobs;
  /** Whose crash shows it. */
  readonly side: 'sender' | 'receiver' | 'link';
  /** Where in the story to begin, as a share of its steps. */
  readonly from?: number;
  readonly metaflush?: boolean;
  /** Default: story.ts's `story`. */
  readonly tale?: (pair: Pair) => Promise<void>;
}

/** Without a rule broken: what the mutants add to the real parts does no harm by itself. */
export const harmless: Knobs = { prints: blind };

/** Not here: TARGET.dirty never synced. Its reader takes it whole or doubts everything. */
export const mutants: readonly Mutant[] = [
  {
    rule: 'H6: no fdatasync after the cut',
    knobs: { primaryDevice: unsynced },
    side: 'sender',
    from: 0.2,
  },
  {
    rule: 'H7: a stale table is believed',
    knobs: { primary: flatteringTable },
    side: 'sender',
    from: 0.42,
  },
  {
    rule: 'H10: the intent map is never flushed',
    knobs: { primaryFiles: filesUnsynced('/intent.map') },
    side: 'sender',
    from: 0.2,
    metaflush: true,
  },
  {
    rule: 'H14: what a growth added is taken for clean',
    knobs: { primary: grownUnmarked },
    side: 'sender',
    from: 0.6,
    tale: growth,
  },
  { rule: 'H7: table before commit', knobs: { link: tableBeforeCommit }, side: 'link' },
  { rule: 'D1: dropped at the cut', knobs: { primary: droppedAtCut }, side: 'sender', from: 0.4 },
  {
    rule: 'D1: a failed round is dropped',
    knobs: { primary: neverMerged },
    side: 'receiver',
    from: 0.25,
  },
  {
    rule: 'H8: the clean mark stays',
    knobs: { ...harmless, primaryFiles: cleanForEver },
    side: 'sender',
    from: 0.85,
  },
  {
    rule: 'H26: the undo is written again',
    knobs: { replicaFiles: undoAgain },
    side: 'receiver',
    from: 0.4,
  },
  {
    rule: 'step 2: frames never synced',
    knobs: { replicaFiles: filesUnsynced('/stage-') },
    side: 'receiver',
    from: 0.35,
  },
  {
    rule: 'step 4: directory never synced',
    knobs: { replicaFiles: filesUnsynced('/') },
    side: 'receiver',
    from: 0.2,
  },
  {
    rule: 'step 6: undo never synced',
    knobs: { replicaFiles: filesUnsynced('/undo-') },
    side: 'receiver',
    from: 0.4,
  },
  {
    rule: 'step 7: disk never synced',
    knobs: { replicaDevice: unsynced },
    side: 'receiver',
    from: 0.22,
  },
  {
    rule: 'step 8: table never synced',
    knobs: { replicaFiles: filesUnsynced('/disk.digests') },
    side: 'receiver',
    from: 0.22,
  },
  {
    rule: 'step 1: state never synced',
    knobs: { primaryFiles: filesUnsynced('/resource.json') },
    side: 'sender',
  },
];
