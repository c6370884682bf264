// TARGET.dirty: any set of pages comes back, and a file that is not whole gives an error.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from '../../src/base/assert.js';
import { BLOCK_BYTES, DISK_BYTES_MAX } from '../../src/base/units.js';
import {
  type DirtyHeader,
  encodeDirty,
  MAP_PAGE_BITS,
  MAP_PAGE_BYTES,
  type MapPage,
  openDirty,
} from '../../src/format/dirty-file.js';
import {
  allOf,
  badBecause,
  content,
  flips,
  isFormatError,
  MemoryHandle,
  seeded,
} from './material.js';

const HEADER: DirtyHeader = {
  resource: new Uint8Array(16).fill(1),
  sizeBytes: DISK_BYTES_MAX,
  generation: 77,
};

const fileOf = (pages: Iterable<MapPage>, header = HEADER): Uint8Array =>
  new Uint8Array(Buffer.concat([...encodeDirty(header, pages)]));

async function readAll(bytes: Uint8Array): Promise<MapPage[]> {
  const { pages } = await openDirty(new MemoryHandle(bytes));
  return allOf(pages());
}

const bits = (seed: number): MapPage['bits'] => content(MAP_PAGE_BYTES, seed);

test('any pages come back, all-ones pages cost 16 bytes', async (t) => {
  const shape = fc.record({ gap: fc.nat(1000), seed: fc.nat(50), ones: fc.boolean() });
  const property = fc.asyncProperty(fc.array(shape, { maxLength: 20 }), async (shapes) => {
    let page = -1;
    const pages = shapes.map(({ gap, seed, ones }): MapPage => {
      page += 1 + gap;
      return { page, bits: ones ? 'ones' : bits(seed) };
    });
    const bytes = fileOf(pages);
    const withBody = pages.filter((one) => one.bits !== 'ones').length;
    assert.equal(bytes.length, 56 + 16 * (pages.length + 1) + MAP_PAGE_BYTES * withBody);
    assert.deepEqual(await readAll(bytes), pages);
  });
  await fc.assert(property, seeded(t, 40));
});

test('a map larger than one piece comes in pieces and is read in pieces', async () => {
  const pages = Array.from({ length: 600 }, (_, i) => ({ page: 2 * i, bits: bits(i) }));
  const pieces = [...encodeDirty(HEADER, pages)];
  assert.equal(pieces.length, 3);
  assert.ok(pieces.every((piece) => piece.length < 1_100_000));
  const { header, pages: read } = await openDirty(new MemoryHandle(fileOf(pages)));
  assert.deepEqual(header, HEADER);
  assert.deepEqual(await allOf(read()), pages, 'also when all are kept');
});

test('every cut is an error, at the latest at the end', async () => {
  const whole = fileOf([
    { page: 3, bits: 'ones' },
    { page: 9, bits: bits(1) },
  ]);
  for (let length = 0; length < whole.length; length += length < 200 ? 1 : 97) {
    await assert.rejects(readAll(whole.slice(0, length)), isFormatError, `${length} bytes`);
  }
  await assert.rejects(readAll(whole.slice(0, -16)), badBecause(/cut short after 2 pages/));
  const longer = Uint8Array.from([...whole, 0]);
  await assert.rejects(readAll(longer), badBecause(/goes on after its end/));
});

test('every changed byte is an error', async () => {
  const whole = fileOf([
    { page: 3, bits: 'ones' },
    { page: 4, bits: 'ones' },
  ]);
  for (const { at, bytes } of flips(whole)) {
    await assert.rejects(readAll(bytes), isFormatError, `byte ${at}`);
  }
  const body = fileOf([{ page: 0, bits: bits(3) }]);
  for (let at = 56; at < body.length; at += 61) {
    const bytes = body.slice();
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    await assert.rejects(readAll(bytes), isFormatError, `byte ${at}`);
  }
});

test('a record that is lost, doubled or moved is an error', async () => {
  const whole = fileOf([2, 5, 8].map((page) => ({ page, bits: 'ones' })));
  const record = (i: number) => whole.slice(56 + 16 * i, 56 + 16 * (i + 1));
  const head = whole.slice(0, 56);
  const of = (...order: number[]) =>
    readAll(new Uint8Array(Buffer.concat([head, ...order.map(record)])));
  assert.equal((await of(0, 1, 2, 3)).length, 3);
  await assert.rejects(of(0, 1, 3), badBecause(/2 pages stand there, 3 were written/));
  await assert.rejects(of(0, 1, 1, 3), badBecause(/page 5 is out of order/));
  await assert.rejects(of(1, 0, 2, 3), badBecause(/page 2 is out of order/));
  await assert.rejects(of(0, 1, 2, 3, 3), badBecause(/goes on after/));
});

test('pages beyond the map are refused', async () => {
  const oneMore = fileOf([{ page: 1, bits: 'ones' }], {
    ...HEADER,
    sizeBytes: MAP_PAGE_BITS * BLOCK_BYTES + 512,
  });
  assert.equal((await readAll(oneMore)).length, 1);
  const small = { ...HEADER, sizeBytes: MAP_PAGE_BITS * BLOCK_BYTES };
  assert.throws(() => fileOf([{ page: 1, bits: 'ones' }], small), AssertionError);
  const forged = Buffer.concat([fileOf([], small).slice(0, 56), oneMore.slice(56)]);
  await assert.rejects(readAll(new Uint8Array(forged)), badBecause(/page 1 is out of order/));
});

test('our own wrong pages stop the program', () => {
  const stop = (pages: MapPage[], header = HEADER) =>
    assert.throws(() => fileOf(pages, header), AssertionError);
  stop([{ page: 0, bits: new Uint8Array(5) }]);
  stop([
    { page: 1, bits: 'ones' },
    { page: 1, bits: 'ones' },
  ]);
  stop([], { ...HEADER, sizeBytes: 0 });
  stop([], { ...HEADER, resource: new Uint8Array(3) });
});
