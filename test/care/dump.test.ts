// dump: what stands in a state directory is what comes out; bits are counted to the last one; a
// part that is torn or foreign is told in its place and hides nothing else. And how it is printed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { type Files, FilesError } from '../../src/base/files.js';
import { freshState } from '../../src/care/create.js';
import { dumpResource } from '../../src/care/dump.js';
import { renderDump } from '../../src/cli/render-dump.js';
import { encodeTableHeader } from '../../src/format/digest-table.js';
import { encodeDirty, MAP_PAGE_BITS, MAP_PAGE_BYTES } from '../../src/format/dirty-file.js';
import {
  encodeIntentHeader,
  INTENT_PAGE_BYTES,
  intentPageOffset,
} from '../../src/format/intent-file.js';
import {
  EMPTY_REPLICA,
  EMPTY_TARGET,
  type ResourceState,
} from '../../src/format/resource-state.js';
import { ResourceFile } from '../../src/tracking/resource-file.js';
import { CrashWorld } from '../world/memory-files.js';

const DIRECTORY = '/state/vm1';
const TIME_MS = Date.parse('2026-11-20T02:00:00.000Z');
const RESOURCE = new Uint8Array(16).fill(0xaa);
const OTHER = new Uint8Array(16).fill(0xbb);
/** Two and a bit pages of blocks, so that the last page is short. */
const BLOCKS = 2 * MAP_PAGE_BITS + 13;
const SIZE_BYTES = BLOCKS * 4096;
const EXTENT_BYTES = 2 ** 21;

const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
const point = (number: number) => ({ id: id(number), number, timeMs: TIME_MS });

function stateOf(changes: Partial<ResourceState> = {}): ResourceState {
  return {
    ...freshState('vm1'),
    resource: RESOURCE,
    sizeBytes: SIZE_BYTES,
    extentBytes: EXTENT_BYTES,
    keepdirty: 64,
    role: 'init',
    remembered: 'primary',
    nextPoint: 44,
    epochs: [{ id: id(1), number: 1, parent: null, node: 'a' }],
    written: true,
    knownPoints: [id(42), id(43)],
    targets: {
      b: { ...EMPTY_TARGET, point: point(42), proposed: { point: point(43), from: null } },
    },
    ...changes,
  };
}

async function world(state = stateOf()): Promise<Files> {
  const files = new CrashWorld();
  await files.makeDirectory(DIRECTORY);
  await ResourceFile.create(files, DIRECTORY, state);
  return files;
}

async function put(files: Files, name: string, pieces: Iterable<Uint8Array>): Promise<void> {
  const handle = await files.open(`${DIRECTORY}/${name}`, 'truncate');
  let offset = 0;
  for (const piece of pieces) {
    await handle.write(piece, offset);
    offset += piece.length;
  }
  await handle.close();
}

const bits = (...set: number[]): Uint8Array => {
  const page = new Uint8Array(MAP_PAGE_BYTES);
  for (const bit of set) page[bit >> 3] = (page[bit >> 3] ?? 0) | (1 << (bit & 7));
  return page;
};

const dirty = (resource: Uint8Array, last: Uint8Array | 'ones') =>
  encodeDirty({ resource, sizeBytes: SIZE_BYTES, generation: 7 }, [
    { page: 0, bits: bits(0, 9, MAP_PAGE_BITS - 1) },
    { page: 1, bits: 'ones' },
    { page: 2, bits: last },
  ]);

const table = (resource: Uint8Array, at: ReturnType<typeof point> | null) => [
  encodeTableHeader({ resource, sizeBytes: SIZE_BYTES, absentIsZero: true, point: at }),
];

async function putIntent(files: Files): Promise<void> {
  const header = { resource: RESOURCE, sizeBytes: SIZE_BYTES, extentBytes: EXTENT_BYTES };
  const page = bits(0, 128);
  // A bit beyond the last extent means nothing.
  page[4000] = 0xff;
  await put(files, 'intent.map', [encodeIntentHeader(header), page]);
  assert.equal(intentPageOffset(0), INTENT_PAGE_BYTES);
}

test('the state comes out as it stands, ids as text and times as ISO', async () => {
  const dump = await dumpResource(await world(), DIRECTORY);
  assert.deepEqual(
    [dump.name, dump.directory, dump.resource, dump.role, dump.remembered, dump.copiesAgree],
    ['vm1', DIRECTORY, 'aa'.repeat(16), 'init', 'primary', true],
  );
  assert.deepEqual(dump.epochs, [{ id: '01'.repeat(16), number: 1, parent: null, node: 'a' }]);
  assert.equal(dump.knownPoints, 2);
  const [b] = dump.targets;
  assert.deepEqual(b?.point, { id: '2a'.repeat(16), number: 42, time: '2026-11-20T02:00:00.000Z' });
  assert.equal(b?.proposed?.number, 43);
  assert.deepEqual([dump.maps, dump.tables, dump.intent], [[], [], null]);
  assert.doesNotThrow(() => JSON.stringify(dump));
});

test('dirty blocks are counted to the last bit of a short page', async () => {
  const files = await world();
  await put(files, 'b.dirty', dirty(RESOURCE, 'ones'));
  await put(files, 'c.dirty', dirty(RESOURCE, bits(0, 12, 13, 4000)));
  const { maps } = await dumpResource(files, DIRECTORY);
  const [ones, some] = [3 + MAP_PAGE_BITS + 13, 3 + MAP_PAGE_BITS + 2];
  const facts = { generation: 7, ours: true };
  assert.deepEqual(maps, [
    { file: 'b.dirty', dirtyBlocks: ones, dirtyBytes: ones * 4096, ...facts },
    { file: 'c.dirty', dirtyBlocks: some, dirtyBytes: some * 4096, ...facts },
  ]);
});

test('tables and the intent map are told by their headers', async () => {
  const files = await world();
  await put(files, 'b.digests', table(RESOURCE, point(42)));
  await put(files, 'c.digests', table(OTHER, null));
  await putIntent(files);
  const dump = await dumpResource(files, DIRECTORY);
  const facts = { sizeBytes: SIZE_BYTES, absentIsZero: true };
  const at = { id: '2a'.repeat(16), number: 42, time: '2026-11-20T02:00:00.000Z' };
  assert.deepEqual(dump.tables, [
    { file: 'b.digests', ...facts, point: at, ours: true },
    { file: 'c.digests', ...facts, point: null, ours: false },
  ]);
  const extents = Math.ceil(SIZE_BYTES / EXTENT_BYTES);
  assert.deepEqual(dump.intent, {
    file: 'intent.map',
    sizeBytes: SIZE_BYTES,
    extentBytes: EXTENT_BYTES,
    extents,
    setExtents: 2,
    ours: true,
  });
});

test('a part that is not whole says so and hides nothing else', async () => {
  const files = await world();
  await put(files, 'b.dirty', [[...dirty(RESOURCE, 'ones')][0]?.subarray(0, 500) ?? bits()]);
  await put(files, 'c.dirty', dirty(OTHER, 'ones'));
  await put(files, 'b.digests', [new Uint8Array(0)]);
  await put(files, 'intent.map', [new Uint8Array(4096).fill(7)]);
  const dump = await dumpResource(files, DIRECTORY);
  const problems = [...dump.maps, ...dump.tables, dump.intent].map((part) =>
    part !== null && 'problem' in part ? [part.file, part.problem] : part?.file,
  );
  assert.equal(problems[1], 'c.dirty');
  assert.deepEqual(
    [problems[0]?.[0], problems[2]?.[0], problems[3]?.[0]],
    ['b.dirty', 'b.digests', 'intent.map'],
  );
  assert.match(problems[0]?.[1] ?? '', /cut short/);
  assert.equal(dump.maps[1] && 'ours' in dump.maps[1] && dump.maps[1].ours, false);
});

test('without a whole state there is nothing to dump', async () => {
  const files = new CrashWorld();
  await assert.rejects(dumpResource(files, DIRECTORY), /no state of this resource/);
  await files.makeDirectory(DIRECTORY);
  await put(files, 'resource.json', [new Uint8Array(10)]);
  await assert.rejects(dumpResource(files, DIRECTORY), /neither copy of the state is whole/);
});

test('who may not read it is told that, and not that it is damaged', async () => {
  const files = await world();
  const readWhole = async (path: string): Promise<null> => {
    throw new FilesError({ code: 'FILE_FAILED', operation: 'open', path, errno: 'EACCES' });
  };
  // A class: its methods stand on the prototype.
  const shut: Files = Object.assign(Object.create(files), { readWhole });
  await assert.rejects(dumpResource(shut, DIRECTORY), (error) => {
    assert.equal(codeOf(error), 'FILE_FAILED');
    assert.match(String(error), /resource\.json: open failed: EACCES/);
    return true;
  });
});

test('a clean end is said of a primary only', async () => {
  const running = { bootId: 'boot-1', fingerprint: {}, metaflush: false, maps: 0 };
  const clean = { fingerprint: {}, maps: 0 };
  const dumped = async (changes: Partial<ResourceState>) =>
    dumpResource(await world(stateOf(changes)), DIRECTORY);
  assert.equal((await dumped({ running, clean })).cleanStop, true);
  assert.equal((await dumped({ running })).cleanStop, false);
  const replica = await dumped({});
  assert.equal(replica.cleanStop, null);
  assert.match(
    renderDump(replica),
    /\n {2}stopped cleanly: - \(there are no maps of a primary\)\n/,
  );
});

test('one copy alone is told', async () => {
  const files = await world();
  await files.remove(`${DIRECTORY}/resource.json.2`);
  assert.equal((await dumpResource(files, DIRECTORY)).copiesAgree, false);
});

test('printed: the names of HAST, and what is out of the ordinary', async () => {
  const entry = {
    point: point(42),
    parent: id(41),
    consistency: 'damaged',
    sizeBytes: SIZE_BYTES,
    changedBytes: 8192,
    undo: null,
    lost: [1, 2],
    damaged: [3],
  } as const;
  const state = stateOf({
    doubt: 'an fdatasync failed',
    running: { bootId: 'boot-1', fingerprint: {}, metaflush: true, maps: 0 },
    targets: {
      b: { ...EMPTY_TARGET, point: point(42), paused: true, rateBitsPerSecond: 0, failedRounds: 2 },
    },
    replica: {
      ...EMPTY_REPLICA,
      driftChunks: 3,
      point: point(42),
      chain: [
        {
          ...entry,
          lost: [...entry.lost],
          lostChunks: entry.lost.length,
          damaged: [...entry.damaged],
          damagedChunks: entry.damaged.length,
        },
      ],
      suspect: 'it was written',
      lostPoint: id(9),
    },
  });
  const files = await world(state);
  await put(files, 'b.dirty', dirty(OTHER, bits()));
  await put(files, 'b.digests', [new Uint8Array(0)]);
  await putIntent(files);
  const hex = (fill: string): string => fill.repeat(16);
  const text = renderDump(await dumpResource(files, DIRECTORY));
  assert.deepEqual(text.split('\n'), [
    'vm1:',
    '  directory: /state/vm1',
    '  state: generation 1, both copies agree',
    '  resource: vm1',
    '  datasize: 268488704 (256 MiB)',
    '  extentsize: 2097152 (2.0 MiB)',
    '  keepdirty: 64',
    `  resuid: ${hex('aa')}`,
    '  prevrole: init',
    '  ordered role: primary',
    '  stopped cleanly: no',
    '  running: in boot boot-1, metaflush on',
    '  written in the last epoch: yes',
    '  next point: 44',
    '  known points: 2',
    '  in doubt: an fdatasync failed',
    `  epoch 1: ${hex('01')}, primary a, from nothing`,
    `  target b: point vm1@42 2026-11-20T02:00:00Z ${hex('2a')}`,
    '    paused; rate none; 2 rounds failed; chunks: drifted 0, untracked 0, damaged 0',
    `  replica: point vm1@42 2026-11-20T02:00:00Z ${hex('2a')}`,
    '    suspect: it was written',
    `    committed and lost: ${hex('09')}`,
    '    3 chunks had drifted',
    '    vm1@42 2026-11-20T02:00:00Z, damaged, 8192 (8.0 KiB) changed, on the disk, ' +
      '2 chunks lost, 1 chunk damaged',
    '  b.dirty: dirty 134230016 (128 MiB) in 32771 blocks, generation 7, of another resource',
    ...text.split('\n').slice(25, 26),
    '  intent.map: 2 of 129 extents of 2097152 (2.0 MiB) perhaps written',
    '',
  ]);
  assert.match(text, /\n {2}b\.digests: UNREADABLE: .+\n/);
});
