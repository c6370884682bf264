// The values behind the frozen resource.json of a primary and of a replica: together they use every
// field, and every field that may be absent is there in one of them.
import { hex } from '../../src/base/random.js';
import { MIB } from '../../src/base/units.js';
import { freshState } from '../../src/care/create.js';
import type { BlockFingerprint, FileFingerprint } from '../../src/disk/fingerprint.js';
import {
  EMPTY_REPLICA,
  EMPTY_TARGET,
  type ResourceState,
} from '../../src/format/resource-state.js';
import { rising } from './golden-files.js';
import { SMALL_SIZE_BYTES } from './material.js';

const TIME_MS = 1_795_000_000_123;
const point = (number: number) => ({
  id: rising(0x40 + number),
  number,
  timeMs: TIME_MS + 1000 * number,
});

const BOOT_ID = '00112233-4455-6677-8899-aabbccddeeff';
const FILE_PRINT: FileFingerprint = {
  kind: 'file',
  bootId: BOOT_ID,
  dev: 2049,
  ino: '18446744073709551615',
  sizeBytes: SMALL_SIZE_BYTES,
  mtimeNs: '1795000000123456789',
  ctimeNs: '1795000000123456790',
};
const BLOCK_PRINT: BlockFingerprint = {
  kind: 'block',
  bootId: BOOT_ID,
  dev: 64_769,
  sizeBytes: SMALL_SIZE_BYTES,
  diskSequence: 12,
  sectorsWritten: null,
  identity: 'LVM-0123456789abcdef',
};

const COMMON = {
  ...freshState('vm1'),
  generation: 4711,
  resource: rising(0x10),
  sizeBytes: SMALL_SIZE_BYTES,
  extentBytes: 2 * MIB,
  keepdirty: 64,
  nextPoint: 44,
  epochs: [
    { id: rising(0x20), number: 1, parent: null, node: 'a' },
    { id: rising(0x21), number: 2, parent: rising(0x41), node: 'b' },
  ],
  knownPoints: [rising(0x41), rising(0x42)],
};

export const PRIMARY: ResourceState = {
  ...COMMON,
  role: 'primary',
  remembered: 'primary',
  written: true,
  targets: {
    b: {
      point: point(42),
      proposed: { point: point(43), from: point(42) },
      lastRunMs: TIME_MS + 1,
      verifiedMs: TIME_MS + 2,
      drained: true,
      away: true,
      paused: true,
      rateBitsPerSecond: 20_000_000,
      failedRounds: 3,
      driftChunks: 4,
      untrackedChunks: 5,
      scrubChunk: 6,
      damagedChunks: 7,
    },
    c: { ...EMPTY_TARGET, proposed: { point: point(1), from: null } },
  },
  clean: { fingerprint: { ...FILE_PRINT }, maps: 4710 },
  running: {
    bootId: BOOT_ID,
    fingerprint: { ...BLOCK_PRINT },
    metaflush: true,
    maps: 4709,
  },
  doubt: 'the disk gave EIO to an fdatasync',
};

export const SECONDARY: ResourceState = {
  ...COMMON,
  role: 'secondary',
  remembered: 'secondary',
  replica: {
    ...EMPTY_REPLICA,
    point: point(42),
    chain: [
      {
        point: point(41),
        parent: null,
        consistency: 'damaged',
        sizeBytes: SMALL_SIZE_BYTES - 512,
        changedBytes: 4608,
        undo: `undo-${hex(point(41).id)}`,
        lost: [1, 9],
        lostChunks: 2,
        damaged: [3],
        damagedChunks: 1,
      },
      {
        point: point(42),
        parent: point(41).id,
        consistency: 'crash',
        sizeBytes: SMALL_SIZE_BYTES,
        changedBytes: 65_536,
        undo: null,
        lost: [],
        lostChunks: 0,
        damaged: [],
        damagedChunks: 0,
      },
    ],
    fingerprint: { ...FILE_PRINT, growsTo: SMALL_SIZE_BYTES + 4096 },
    suspect: 'its modification time is another one',
    lostPoint: rising(0x43),
    noted: { round: rising(0x44), damaged: [5], lost: [6, 7], lostChunks: 2 },
    driftChunks: 8,
  },
};
