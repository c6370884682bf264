// The values behind the frozen files of the state directory, and what the encoders make of them.
// Numbers have bytes that differ, so that their order and place show. Sizes are bytes.
import { CHUNK_BYTES, MIB } from '../../src/base/units.js';
import type { ChangesetHeader } from '../../src/format/changeset.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import {
  encodeTableHeader,
  encodeTablePage,
  TABLE_PAGE_BYTES,
  type TableHeader,
} from '../../src/format/digest-table.js';
import { type DirtyHeader, encodeDirty, type MapPage } from '../../src/format/dirty-file.js';
import { encodeFrame } from '../../src/format/frame.js';
import type { IntentHeader } from '../../src/format/intent-file.js';
import { type Pack, packer, packRaw } from '../../src/format/pack.js';
import { createIntentFile } from '../../src/volume/intent.js';
import { CrashWorld } from '../world/memory-files.js';
import { content, HEADER, MemoryHandle, SMALL_SIZE_BYTES, smallFrame } from './material.js';

/** 16 bytes that ascend. */
export const rising = (first: number): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, at) => first + at);

/** A frame of zero chunks alone. */
export const zeroFrame = () => ({
  number: 0,
  entries: smallFrame().entries.slice(1, 4),
  blocks: new Uint8Array(0),
});

/** A frame without bytes and one with a short block; header, index and trailer by the writer. */
export async function changesetFile(
  header: ChangesetHeader = HEADER,
  pack: Pack = packRaw,
): Promise<Uint8Array> {
  const handle = new MemoryHandle();
  const writer = await ChangesetWriter.create(handle, { ...header, consistency: 'crash' });
  const zeroes = zeroFrame();
  await writer.append(encodeFrame(zeroes, packRaw), zeroes.entries);
  const second = smallFrame(1);
  await writer.append(encodeFrame(second, pack), second.entries);
  await writer.finish(header.consistency);
  return handle.bytes;
}

export const zstd = packer({ codec: 'zstd' });

export const ROUND: ChangesetHeader = {
  ...HEADER,
  resource: rising(0x10),
  round: rising(0x30),
  from: { id: rising(0x50), number: 0x0001_0203_0405_06, timeMs: 1_795_000_000_123 },
  to: { id: rising(0x30), number: 0x0001_0203_0405_07, timeMs: 1_795_003_600_456 },
};
export const UNDO: ChangesetHeader = { ...ROUND, kind: 'undo', consistency: 'damaged' };
/** Of a target that had no point. */
export const FIRST: ChangesetHeader = { ...ROUND, from: null, consistency: 'quiesced' };

/** Three pages: one with digests, one absent, one with digests. */
const TABLE_CHUNKS = 600;
export const TABLE: TableHeader = {
  resource: rising(0x10),
  sizeBytes: TABLE_CHUNKS * CHUNK_BYTES - 512,
  absentIsZero: true,
  point: null,
};
export const POINT_TABLE: TableHeader = {
  resource: rising(0x10),
  sizeBytes: SMALL_SIZE_BYTES,
  absentIsZero: false,
  point: ROUND.to,
};
const tableFile = () =>
  Buffer.concat([
    encodeTableHeader(TABLE),
    encodeTablePage(0, content(4080, 1)),
    new Uint8Array(TABLE_PAGE_BYTES),
    encodeTablePage(2, content(4080, 3)),
  ]);
const pointTableFile = () =>
  Buffer.concat([encodeTableHeader(POINT_TABLE), encodeTablePage(0, content(4080, 5))]);

/** Bitmap pages of 128 MiB: 31 of them. */
export const DIRTY: DirtyHeader = {
  resource: rising(0x10),
  sizeBytes: 1_000_000 * 4096,
  generation: 0x0102_0304_0506,
};
export const PAGES: readonly MapPage[] = [
  { page: 1, bits: 'ones' },
  { page: 30, bits: Uint8Array.from({ length: 4096 }, (_, at) => (at % 512 === 0 ? 0x81 : 0)) },
];

/** Two pages of bits, each twice. */
export const INTENT: IntentHeader = {
  resource: rising(0x10),
  sizeBytes: 40_000 * MIB,
  extentBytes: MIB,
};
export function intentBits(): SharedArrayBuffer {
  const bits = new SharedArrayBuffer(2 * 4096);
  const bytes = new Uint8Array(bits);
  for (const extent of [0, 1, 15, 32_767, 32_768, 39_999]) {
    const at = Math.floor(extent / 8);
    bytes[at] = (bytes[at] ?? 0) | (1 << (extent % 8));
  }
  return bits;
}

async function intentFile(): Promise<Uint8Array> {
  const world = new CrashWorld();
  await createIntentFile(world, '/intent.map', INTENT, intentBits());
  return world.peek('/intent.map') ?? new Uint8Array(0);
}

/** What today's encoders make, by name of the file. Those with zstd may differ by its version. */
export async function madeFiles() {
  return {
    'changeset-v1.bin': await changesetFile(ROUND, zstd),
    'changeset-undo-v1.bin': await changesetFile(UNDO),
    'changeset-first-v1.bin': await changesetFile(FIRST),
    'frame-raw-v1.bin': encodeFrame(smallFrame(0x0102_0304), packRaw),
    'frame-zstd-v1.bin': encodeFrame(smallFrame(0x0102_0304), zstd),
    'digest-table-v1.bin': tableFile(),
    'digest-table-point-v1.bin': pointTableFile(),
    'dirty-v1.bin': Buffer.concat([...encodeDirty(DIRTY, PAGES)]),
    'intent-v1.bin': await intentFile(),
  } as const;
}
