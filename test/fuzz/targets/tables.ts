// State files of fixed pages: TARGET.digests and intent.map, decoded, and loaded as the daemon
// loads them, into the parts that work with them.
import assert from 'node:assert/strict';
import { isoTime } from '../../../src/base/clock.js';
import { checkOf, equalBytes } from '../../../src/base/digest.js';
import { blockCount, chunkCount, MIB } from '../../../src/base/units.js';
import {
  decodeTableHeader,
  decodeTablePage,
  encodeTableHeader,
  encodeTablePage,
  TABLE_PAGE_BYTES,
} from '../../../src/format/digest-table.js';
import {
  decodeIntentHeader,
  encodeIntentHeader,
  INTENT_PAGE_BYTES,
} from '../../../src/format/intent-file.js';
import { allocateMap, BlockMap } from '../../../src/tracking/block-map.js';
import { DigestTable } from '../../../src/tracking/digest-table.js';
import { Core } from '../../../src/volume/core.js';
import { IntentOwner } from '../../../src/volume/intent.js';
import { allocateVolume } from '../../../src/volume/memory.js';
import { content } from '../../format/material.js';
import { CrashWorld } from '../../world/memory-files.js';
import { decided, oneBitOff, pure, type Target } from '../target.js';
import { EXTENT_BYTES, id, point, RESOURCE, SIZE_BYTES } from './state.js';

const PLACE = 'fuzz.file';

const TABLE = { resource: RESOURCE, sizeBytes: SIZE_BYTES, absentIsZero: true, point: point(42) };

/** The checks of header and pages; a page of zeroes stays a hole. */
export function mendTable(bytes: Uint8Array): Uint8Array {
  if (bytes.length < TABLE_PAGE_BYTES) return bytes;
  bytes.set(checkOf(bytes.subarray(0, 4088)), 4088);
  for (let page = 0; (page + 2) * TABLE_PAGE_BYTES <= bytes.length; page += 1) {
    const own = bytes.subarray((page + 1) * TABLE_PAGE_BYTES, (page + 2) * TABLE_PAGE_BYTES);
    if (own.every((byte) => byte === 0)) continue;
    new DataView(own.buffer, own.byteOffset).setBigUint64(0, BigInt(page));
    own.set(checkOf(own), 0);
  }
  return bytes;
}

export const tableFile = (): Uint8Array =>
  Buffer.concat([
    encodeTableHeader(TABLE),
    encodeTablePage(0, content(4080, 2)),
    new Uint8Array(TABLE_PAGE_BYTES),
    encodeTablePage(2, content(4080, 5)),
  ]);

const table: Target = {
  name: 'digest-table',
  kind: 'bytes',
  inputBytesMax: 5 * TABLE_PAGE_BYTES,
  onceBytesMax: MIB,
  totalBytesMax: 16 * MIB,
  seeds: () => [tableFile(), encodeTableHeader({ ...TABLE, point: null })],
  mend: mendTable,
  open: pure(async (input) => {
    const first = input.subarray(0, TABLE_PAGE_BYTES);
    const verdict = await decided(
      PLACE,
      () => decodeTableHeader(first, PLACE),
      (header) => {
        assert.ok(equalBytes(encodeTableHeader(header), first), 'one encoding');
        assert.throws(() => decodeTableHeader(oneBitOff(first), PLACE), /fuzz\.file/);
        if (header.point) isoTime(header.point.timeMs);
      },
    );
    const own = input.subarray(TABLE_PAGE_BYTES, 2 * TABLE_PAGE_BYTES);
    const digests = decodeTablePage(0, own);
    if (digests instanceof Uint8Array) {
      assert.equal(decodeTablePage(0, oneBitOff(own)), 'bad');
      assert.equal(decodeTablePage(1, own), 'bad', 'a page of another place');
      assert.ok(equalBytes(encodeTablePage(0, digests), own), 'one encoding');
    }
    await opened(input);
    return verdict;
  }),
};

/** As a target's table: what it does not know is unknown, and it can be written again. */
async function opened(input: Uint8Array): Promise<void> {
  const world = new CrashWorld();
  world.plant('/b.digests', input);
  const facts = { resource: RESOURCE, sizeBytes: SIZE_BYTES };
  const own = await DigestTable.open(world, '/b.digests', facts);
  const chunks = chunkCount(SIZE_BYTES);
  assert.equal(own.range(0, chunks).length, chunks * 16);
  assert.ok([...own.unknownRuns(SIZE_BYTES)].every(({ first, count }) => first + count <= chunks));
  await own.beginChange();
  own.set(chunks - 1, id(7));
  await own.finishChange(point(50));
  assert.ok(equalBytes(own.get(chunks - 1) ?? id(0), id(7)));
  await own.close();
}

const INTENT = { resource: RESOURCE, sizeBytes: SIZE_BYTES, extentBytes: EXTENT_BYTES };
export const intentFile = (): Uint8Array => {
  const page = content(INTENT_PAGE_BYTES, 3);
  return Buffer.concat([encodeIntentHeader(INTENT), page, page]);
};

export function mendIntent(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= INTENT_PAGE_BYTES) bytes.set(checkOf(bytes.subarray(0, 4088)), 4088);
  return bytes;
}

const intent: Target = {
  name: 'intent',
  kind: 'bytes',
  inputBytesMax: 3 * INTENT_PAGE_BYTES,
  onceBytesMax: 2 * MIB,
  totalBytesMax: 16 * MIB,
  seeds: () => [intentFile(), encodeIntentHeader({ ...INTENT, sizeBytes: 64 * MIB })],
  mend: mendIntent,
  open: pure(async (input) => {
    const first = input.subarray(0, INTENT_PAGE_BYTES);
    const verdict = await decided(
      PLACE,
      () => decodeIntentHeader(first, PLACE),
      (header) => {
        assert.ok(equalBytes(encodeIntentHeader(header), first), 'one encoding');
        assert.throws(() => decodeIntentHeader(oneBitOff(first), PLACE), /fuzz\.file/);
      },
    );
    const world = new CrashWorld();
    world.plant('/intent.map', input);
    const shape = { sizeBytes: SIZE_BYTES, extentBytes: EXTENT_BYTES, targets: 1, spillBytes: MIB };
    const handle = await world.open('/intent.map', 'write');
    const core = new Core(allocateVolume({ ...shape, metaflush: false }), 0);
    const owner = new IntentOwner(core, handle, 2);
    await decided(
      'intent.map',
      () => owner.load(INTENT),
      () => {
        const map = new BlockMap(allocateMap(SIZE_BYTES));
        owner.markExtents(map);
        assert.ok(map.count().blocks <= blockCount(SIZE_BYTES), 'no block beyond the disk');
        owner.clearCold();
      },
    );
    return verdict;
  }),
};

export const TABLE_TARGETS: readonly Target[] = [table, intent];
