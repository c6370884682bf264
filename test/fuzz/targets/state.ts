// State files that the daemon reads back at start: resource.json and TARGET.dirty. Each is also
// loaded as the daemon loads it, into the parts that work with it.
import assert from 'node:assert/strict';
import { isoTime } from '../../../src/base/clock.js';
import { checkOf, equalBytes } from '../../../src/base/digest.js';
import { hex, type Random } from '../../../src/base/random.js';
import { blockCount, CHUNK_BYTES, MIB } from '../../../src/base/units.js';
import { freshState } from '../../../src/care/create.js';
import { encodeDirty, MAP_PAGE_BYTES, openDirty } from '../../../src/format/dirty-file.js';
import {
  decodeResourceState,
  EMPTY_REPLICA,
  EMPTY_TARGET,
  encodeResourceState,
  type ResourceState,
} from '../../../src/format/resource-state.js';
import { allocateMap, BlockMap } from '../../../src/tracking/block-map.js';
import { loadDirty } from '../../../src/tracking/dirty-map.js';
import { ResourceFile } from '../../../src/tracking/resource-file.js';
import { allOf, content, MemoryHandle } from '../../format/material.js';
import { CrashWorld } from '../../world/memory-files.js';
import { decided, oneBitOff, plain, pure, type Target } from '../target.js';

const PLACE = 'fuzz.file';
export const RESOURCE = new Uint8Array(16).fill(0xaa);
/** 160 MiB: two pages of blocks, the last of them short, its last block too. */
export const SIZE_BYTES = 160 * MIB - CHUNK_BYTES - 3584;
export const EXTENT_BYTES = 2 * MIB;
const TIME_MS = Date.UTC(2026, 10, 20, 2);

export const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
export const point = (number: number) => ({ id: id(number), number, timeMs: TIME_MS });

export const FULL_STATE: ResourceState = {
  ...freshState('vm1'),
  resource: RESOURCE,
  sizeBytes: SIZE_BYTES,
  extentBytes: EXTENT_BYTES,
  role: 'primary',
  epochs: [{ id: id(1), number: 1, parent: id(2), node: 'a' }],
  knownPoints: [id(42)],
  targets: {
    b: { ...EMPTY_TARGET, point: point(42), proposed: { point: point(43), from: point(42) } },
  },
  clean: { fingerprint: { kind: 'file', dev: 1, mtimeNs: '2', serial: null }, maps: 3 },
  running: { bootId: 'x', fingerprint: {}, metaflush: true, maps: 3 },
  replica: {
    ...EMPTY_REPLICA,
    point: point(42),
    chain: [
      {
        ...{ point: point(42), parent: null, consistency: 'damaged', sizeBytes: SIZE_BYTES },
        ...{ changedBytes: 1, undo: null, lost: [1], lostChunks: 1 },
        ...{ damaged: [2], damagedChunks: 1 },
      },
    ],
    noted: { round: id(9), damaged: [1], lost: [2], lostChunks: 3 },
  },
};

export const STATES: readonly ResourceState[] = [freshState('vm1'), FULL_STATE];

/** The first line's checksum put right. */
export function mendState(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(10);
  const body = bytes.subarray(end + 1);
  return Buffer.concat([Buffer.from(`hast resource 1 ${hex(checkOf(body))}\n`), body]);
}

const resourceState: Target = {
  name: 'resource-state',
  kind: 'json',
  inputBytesMax: 20_000,
  onceBytesMax: MIB,
  totalBytesMax: 4 * MIB,
  words: ['primary', 'secondary', 'init', 'crash', 'damaged', 'hast resource 1 ', 'b'],
  seeds: () => STATES.map(encodeResourceState),
  mend: mendState,
  open: pure((input) =>
    decided(
      PLACE,
      () => decodeResourceState(input, PLACE),
      async (state) => {
        const again = decodeResourceState(encodeResourceState(state), PLACE);
        assert.equal(plain(again), plain(state), 'written again it means the same');
        assert.throws(() => decodeResourceState(oneBitOff(input), PLACE), /fuzz\.file/);
        shown(state);
        const world = new CrashWorld();
        world.plant('/state/resource.json', input);
        const file = await ResourceFile.load(world, '/state');
        await file.update((was) => was);
        assert.equal(file.state.generation, state.generation + 1);
      },
    ),
  ),
};

/** What status and dump do with the times in it. */
function shown(state: ResourceState): void {
  for (const { point: last, proposed, verifiedMs, lastRunMs } of Object.values(state.targets)) {
    for (const one of [last, proposed?.point]) if (one) isoTime(one.timeMs);
    for (const ms of [verifiedMs, lastRunMs]) if (ms !== null) isoTime(ms);
  }
  for (const entry of state.replica.chain) isoTime(entry.point.timeMs);
  if (state.replica.point) isoTime(state.replica.point.timeMs);
}

const DIRTY_HEADER_BYTES = 56;

/** The header's check, and those of the records as far as their kinds lead. */
export function mendDirty(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < DIRTY_HEADER_BYTES) return bytes;
  bytes.set(checkOf(bytes.subarray(0, 48)), 48);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let count = 0;
  for (let at = DIRTY_HEADER_BYTES; at + 16 <= bytes.length; ) {
    const kind = view.getUint32(at + 4);
    const checkAt = at + 8 + (kind === 0 ? MAP_PAGE_BYTES : 0);
    if (checkAt + 8 > bytes.length) break;
    if (kind === 2 && random.below(4) > 0) view.setUint32(at, count);
    bytes.set(checkOf(bytes.subarray(at, checkAt)), checkAt);
    at = checkAt + 8;
    count += 1;
  }
  return bytes;
}

const DIRTY = { resource: RESOURCE, sizeBytes: SIZE_BYTES, generation: 5 };
export const dirtyFile = (): Uint8Array =>
  Buffer.concat([
    ...encodeDirty(DIRTY, [
      { page: 0, bits: 'ones' },
      { page: 1, bits: content(MAP_PAGE_BYTES, 3) },
    ]),
  ]);

const dirty: Target = {
  name: 'dirty',
  kind: 'bytes',
  inputBytesMax: 16_384,
  onceBytesMax: 2 * MIB,
  totalBytesMax: 16 * MIB,
  seeds: () => [
    dirtyFile(),
    Buffer.concat([...encodeDirty(DIRTY, [])]),
    Buffer.concat([
      ...encodeDirty({ ...DIRTY, sizeBytes: MIB + 512 }, [{ page: 0, bits: 'ones' }]),
    ]),
  ],
  mend: mendDirty,
  open: pure(async (input) => {
    const read = async () => {
      const { header, pages } = await openDirty(new MemoryHandle(input));
      return { header, pages: await allOf(pages()) };
    };
    const verdict = await decided('memory', read, async ({ header, pages }) => {
      const again = Buffer.concat([...encodeDirty(header, pages)]);
      assert.ok(equalBytes(again, input), 'one encoding');
      const broken = await openDirty(new MemoryHandle(oneBitOff(input)))
        .then(
          (reader) => allOf(reader.pages()),
          (error: unknown) => Promise.reject(error),
        )
        .catch((error: unknown) => error);
      assert.match(String(broken), /memory/, 'one bit off');
    });
    const world = new CrashWorld();
    world.plant('/b.dirty', input);
    const map = new BlockMap(allocateMap(SIZE_BYTES));
    const loaded = await decided(
      'b.dirty',
      () => loadDirty(world, '/b.dirty', RESOURCE, map),
      () => {
        const { blocks } = map.count();
        assert.ok(blocks <= blockCount(SIZE_BYTES), 'no more blocks than there are');
      },
    );
    if (verdict === 'refused' && loaded === 'accepted') {
      assert.equal(map.count().blocks, 0, 'what is not ours is not loaded');
    }
    return verdict;
  }),
};

export const STATE_TARGETS: readonly Target[] = [resourceState, dirty];
