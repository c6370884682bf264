// Wrong orders for the acts: those of the walk (crash/mutants.ts), each at the act that has to show
// it, and some that only these acts can show. teeth.test.ts wants every one found.
import { present } from '../../src/base/assert.js';
import type { FileHandle, Files } from '../../src/base/files.js';
import { decodeResourceState } from '../../src/format/resource-state.js';
import { filesUnsynced, harmless, mutants, replaced, unsynced } from '../crash/mutants.js';
import type { Knobs } from '../crash/nodes.js';
import type { Side } from '../crash/pair.js';

export interface ActMutant {
  readonly act: string;
  readonly side: Side;
  readonly rule: string;
  readonly knobs: Knobs;
  /** Where to begin, as a share of the crash points. */
  readonly from?: number;
}

/** H32: an undo goes before the state that names it no more is published. */
const prunedFirst = (files: Files): Files =>
  replaced(files, {
    open: async (path, mode) => {
      const handle = await files.open(path, mode);
      if (!path.endsWith('/resource.json.new')) return handle;
      return replaced<FileHandle>(handle, {
        write: async (bytes, offset) => {
          await removeUnnamed(files, path, bytes);
          await handle.write(bytes, offset);
        },
      });
    },
  });

async function removeUnnamed(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const { replica } = decodeResourceState(bytes, path);
  // The newest is of an apply that goes on, and not named yet.
  if (replica.chain.length < 2) return;
  const directory = path.slice(0, path.lastIndexOf('/'));
  const named = new Set(replica.chain.map(({ undo }) => undo));
  for (const name of await files.list(directory)) {
    if (name.startsWith('undo-') && !named.has(name)) await files.remove(`${directory}/${name}`);
  }
}

/** H32: what an open finds and nobody names stays; what an apply has done with goes. */
const publishing = new WeakSet<Files>();
const undosStay = (files: Files): Files =>
  replaced(files, {
    open: (path, mode) => {
      if (path.endsWith('/resource.json.new')) publishing.add(files);
      return files.open(path, mode);
    },
    remove: async (path) => {
      if (publishing.has(files) || !path.includes('/undo-')) await files.remove(path);
    },
  });

const ofWalk = (rule: string): Knobs =>
  present(
    mutants.find((each) => each.rule === rule),
    rule,
  ).knobs;

const [COMMIT, APPLY, PRUNE] = ['commit', 'apply', 'prune'];
const [TABLE, PAGES] = ['table of the target', 'tables of two pages'];
const [STOP, FLUSHED] = ['clean stop and start', 'clean stop and start, metaflush'];
const RESTART = 'clean stop and start of the replica';
const [PROMOTION, STAGED] = [
  'promotion while a point is applied',
  'promotion while a round is staged',
];

const walked = (act: string, side: Side, rule: string, from = 0): ActMutant => ({
  ...{ act, side, rule, from },
  knobs: ofWalk(rule),
});

export const actMutants: readonly ActMutant[] = [
  walked(COMMIT, 'sender', 'step 1: state never synced', 0.25),
  walked(COMMIT, 'sender', 'D1: dropped at the cut', 0.3),
  walked(`${COMMIT}, metaflush`, 'sender', 'H10: the intent map is never flushed', 0.5),
  walked(COMMIT, 'receiver', 'step 2: frames never synced', 0.6),
  walked(COMMIT, 'receiver', 'step 4: directory never synced', 0.6),
  walked(APPLY, 'receiver', 'step 4: directory never synced', 0.1),
  walked(APPLY, 'receiver', 'step 6: undo never synced', 0.3),
  walked(APPLY, 'receiver', 'step 7: disk never synced', 0.7),
  walked(APPLY, 'receiver', 'H26: the undo is written again', 0.4),
  walked(PRUNE, 'receiver', 'step 4: directory never synced'),
  {
    ...{ act: PRUNE, side: 'receiver', rule: 'H32: the undo goes first', from: 0.4 },
    knobs: { replicaFiles: prunedFirst },
  },
  {
    ...{ act: PRUNE, side: 'receiver', rule: 'H32: undos stay', from: 0.4 },
    knobs: { replicaFiles: undosStay },
  },
  walked(TABLE, 'sender', 'H7: a stale table is believed'),
  walked(TABLE, 'sender', 'step 1: state never synced'),
  {
    ...{ act: PAGES, side: 'sender', rule: 'step 7: table never synced', from: 0.3 },
    knobs: { primaryFiles: filesUnsynced('.digests') },
  },
  walked(PAGES, 'receiver', 'step 8: table never synced', 0.6),
  walked(STOP, 'sender', 'H8: the clean mark stays', 0.7),
  {
    ...{ act: FLUSHED, side: 'sender', rule: 'H6: the disk is never synced' },
    knobs: { ...harmless, primaryDevice: unsynced },
    from: 0.4,
  },
  walked(RESTART, 'receiver', 'step 7: disk never synced', 0.6),
  walked(PROMOTION, 'receiver', 'step 7: disk never synced', 0.6),
  {
    ...{ act: STAGED, side: 'receiver', rule: 'H37: the epoch is not durable' },
    knobs: { replicaFiles: filesUnsynced('/resource.json') },
  },
];
