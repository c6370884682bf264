// Layouts of an archive: what is encoded is decoded, any other bytes are refused with FORMAT_BAD or
// FORMAT_VERSION, and nothing is allocated that the bytes do not account for. It is
// longer than 300 lines because all layouts of an archive are one family.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { hex, seededRandom } from '../../src/base/random.js';
import { MASK_ALL } from '../../src/base/units.js';
import {
  decodeLeaf,
  encodeLeaf,
  LEAF_CHUNKS,
  type LeafEntry,
  mergeLeaves,
  overlaid,
  type Piece,
} from '../../src/format/archive-leaf.js';
import {
  decodeNode,
  decodePackPage,
  decodePage,
  decodeRoot,
  encodeNode,
  encodePackPage,
  encodePage,
  encodeRoot,
  type NodeRef,
} from '../../src/format/archive-node.js';
import {
  type ArchivePoint,
  decodeEpoch,
  decodeHead,
  decodePoint,
  encodeEpoch,
  encodeHead,
  encodePoint,
  epochKey,
  packKey,
  pointKey,
} from '../../src/format/archive-objects.js';
import { decodeRecord, encodeRecord, recordKey } from '../../src/format/archive-record.js';
import { FormatError } from '../../src/format/changeset.js';
import { packer, unpack } from '../../src/format/pack.js';
import { isKey } from '../../src/store/store.js';

const PACKS = 100;
const RUNS = { numRuns: 300 };
/** As objects are written. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>;
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const place = record({
  pack: fc.nat(PACKS - 1),
  offset: fc.nat(1_000_000),
  bytes: fc.integer({ min: 49, max: 2_000_000 }),
});
const ref: fc.Arbitrary<NodeRef> = record({ place, check: bytes(8) });

/** Masks that do not overlap, newest first. */
const pieces: fc.Arbitrary<Piece[]> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: MASK_ALL }), fc.nat(MASK_ALL), place), {
    minLength: 1,
    maxLength: 6,
  })
  .map((wanted) => {
    let seen = 0;
    const made: Piece[] = [];
    for (const [some, zeroes, at] of wanted) {
      const mask = some & ~seen;
      if (mask === 0) continue;
      seen |= mask;
      const zero = mask & zeroes;
      made.push({ mask, zero, place: mask === zero ? null : at });
    }
    return made;
  });

const leafOf = (region: number): fc.Arbitrary<LeafEntry[]> =>
  fc.uniqueArray(fc.nat(LEAF_CHUNKS - 1), { minLength: 1, maxLength: 40 }).chain((chunks) =>
    fc.tuple(
      ...chunks
        .sort((a, b) => a - b)
        .map((chunk) =>
          record({
            chunk: fc.constant(region * LEAF_CHUNKS + chunk),
            digest: bytes(16),
            pieces,
          }),
        ),
    ),
  );

/** Whatever it is made of, it is decoded or refused, never anything else. */
function refusedOrFine(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    assert.ok(error instanceof FormatError, String(error));
  }
}

const numbered = <T>(value: fc.Arbitrary<T>, limit: number): fc.Arbitrary<Map<number, T>> =>
  fc
    .uniqueArray(fc.tuple(fc.nat(limit - 1), value), {
      selector: ([number]) => number,
      minLength: 1,
      maxLength: 30,
    })
    .map((rows) => new Map(rows.sort(([one], [other]) => one - other)));

const named = record({ name: bytes(32), bytes: fc.integer({ min: 1, max: 2 ** 26 }) });
const pointRef = record({
  id: bytes(16),
  number: fc.nat(),
  timeMs: fc.nat(),
});
const keptPoint = record({
  place: record({
    epoch: fc.integer({ min: 1, max: 9 }),
    sequence: fc.integer({ min: 1, max: 99_999 }),
  }),
  number: fc.nat(),
  timeMs: fc.nat(),
});
const point: fc.Arbitrary<ArchivePoint> = record({
  to: pointRef,
  from: fc.option(pointRef),
  place: record({
    epoch: fc.integer({ min: 1, max: 9999 }),
    sequence: fc.integer({ min: 1, max: 99_999 }),
  }),
  sizeBytes: fc.integer({ min: 1, max: 2 ** 30 }).map((sectors) => 512 * sectors),
  consistency: fc.constantFrom('crash' as const, 'quiesced' as const, 'damaged' as const),
  damagedChunks: fc.nat(),
  storedBytes: fc.nat(),
  blockBytes: fc.nat(),
  nextPack: fc.constant(PACKS),
  trees: fc.array(
    record({
      pack: record({ name: bytes(32), bytes: fc.constant(4_000_000) }),
      place,
      check: bytes(8),
      leaves: fc.nat(),
    }),
    { minLength: 1, maxLength: 64 },
  ),
  kept: fc.array(keptPoint, { maxLength: 50 }),
  going: fc.array(keptPoint, { maxLength: 50 }),
});

describe('archive', () => {
  test('leaves', () => {
    const any = fc.nat(1000).chain((region) => fc.tuple(fc.constant(region), leafOf(region)));
    fc.assert(
      fc.property(any, ([region, leaf]) => {
        assert.deepEqual(decodeLeaf(encodeLeaf(leaf), region, PACKS, 'x'), leaf);
      }),
      RUNS,
    );
  });

  test('merged leaves have of every block the newest', () => {
    const of = (leaf: readonly LeafEntry[]): Map<number, string> => {
      const blocks = new Map<number, string>();
      for (const { chunk, pieces: own } of leaf) {
        for (const { mask, zero, place: at } of own) {
          for (let block = 0; block < 16; block += 1) {
            if ((mask & (1 << block)) === 0) continue;
            const isZero = (zero & (1 << block)) !== 0;
            blocks.set(16 * chunk + block, isZero || at === null ? '0' : JSON.stringify(at));
          }
        }
      }
      return blocks;
    };
    fc.assert(
      fc.property(leafOf(7), leafOf(7), (newer, older) => {
        const merged = mergeLeaves(newer, older);
        const wanted = new Map([...of(older), ...of(newer)]);
        const rows = (map: Map<number, string>) => [...map].sort(([a], [b]) => a - b);
        assert.deepEqual(rows(of(merged)), rows(wanted));
        assert.deepEqual(decodeLeaf(encodeLeaf(merged), 7, PACKS, 'x'), merged);
        for (const { chunk, digest } of newer) {
          assert.deepEqual(merged.find((entry) => entry.chunk === chunk)?.digest, digest);
        }
      }),
      RUNS,
    );
    const entry: LeafEntry = {
      chunk: 1,
      digest: new Uint8Array(16),
      pieces: [{ mask: 0xff, zero: 0xff, place: null }],
    };
    const { pieces: joined } = overlaid(entry, { ...entry, pieces: [{ ...PLAIN, mask: 0xfff0 }] });
    assert.equal(joined.length, 2);
  });

  test('pages, pack pages and roots, as nodes', () => {
    const pack = packer({ codec: 'zstd' });
    const through = (raw: Uint8Array): Uint8Array => {
      const { body, check } = encodeNode(raw, pack);
      return decodeNode(body, check, unpack, 'x');
    };
    fc.assert(
      fc.property(numbered(ref, 256), (page) => {
        assert.deepEqual(decodePage(through(encodePage(page)), PACKS, 'x'), page);
      }),
      RUNS,
    );
    const rows = numbered(
      fc
        .tuple(named, fc.nat(), fc.nat({ max: 1000 }))
        .map(([pack_, liveParts, dead]) => ({ ...pack_, liveParts, parts: liveParts + dead })),
      1024,
    );
    fc.assert(
      fc.property(rows, (page) => {
        assert.deepEqual(decodePackPage(through(encodePackPage(page)), 'x'), page);
      }),
      RUNS,
    );
    const own = fc.tuple(ref).map(([one]) => ({ ref: one, pack: null }));
    fc.assert(
      fc.property(numbered(ref, 65_536), fc.nat(), fc.option(own), (pages, ownParts, packPage) => {
        const packPages = new Map(packPage === null ? [] : [[0, packPage] as const]);
        const root = { packs: PACKS, ownParts, pages, packPages };
        assert.deepEqual(decodeRoot(through(encodeRoot(root)), 'x'), root);
      }),
      RUNS,
    );
  });

  test('points, epochs, heads and their keys', () => {
    fc.assert(
      fc.property(point, (one) => {
        assert.deepEqual(decodePoint(encodePoint(one), 'x'), one);
        assert.ok(isKey(pointKey(one.place)) && isKey(epochKey(one.place.epoch)));
        assert.deepEqual(decodeHead(encodeHead(one.place)), one.place);
      }),
      RUNS,
    );
    const epoch = record({
      id: bytes(16),
      number: fc.nat(),
      parent: fc.option(bytes(16)),
      node: fc.stringMatching(/^[a-z0-9.-]{1,60}$/),
    });
    fc.assert(
      fc.property(epoch, fc.boolean(), (one, first) => {
        const from = first ? null : { epoch: 3, sequence: 9 };
        const own = { epoch: one, place: 4, from };
        assert.deepEqual(decodeEpoch(encodeEpoch(own), 'x'), own);
      }),
      RUNS,
    );
    assert.equal(pointKey({ epoch: 1, sequence: 255 }), 'points/00000001/000000ff');
    assert.match(packKey(seededRandom(1).bytes(32)), /^packs\/[0-9a-f]{2}\/[0-9a-f]{64}$/);
  });

  test('records, open and sealed; a nonce is never used twice under a salt', () => {
    const random = seededRandom(5);
    const [dataKey, salt] = [random.bytes(32), random.bytes(16)];
    const key = recordKey(dataKey, salt);
    const body = random.bytes(5000);
    const seen = new Set<string>();
    for (let number = 0; number < 50; number += 1) {
      for (const one of [key, null]) {
        const record = encodeRecord({ kind: 'frame', salt, number, sizeBytes: 512 }, body, one);
        const opened = decodeRecord(record, 'x', () => key);
        assert.deepEqual(Buffer.from(opened.body), Buffer.from(body));
        assert.equal(opened.header.number, number);
        if (one !== null) seen.add(hex(record.subarray(48, 80)));
      }
    }
    assert.equal(seen.size, 50);
    const sealed = encodeRecord({ kind: 'node', salt, number: 1, sizeBytes: 0 }, body, key);
    for (let at = 0; at < sealed.length; at += 7) {
      const bad = sealed.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      assert.throws(() => decodeRecord(bad, 'x', () => key), FormatError, `byte ${at}`);
    }
    const other = recordKey(random.bytes(32), salt);
    assert.throws(() => decodeRecord(sealed, 'x', () => other), /made with another key/);
  });

  test('any bytes are refused, or decoded to what they are', () => {
    const noise = fc.uint8Array({ maxLength: 400 });
    const random = seededRandom(6);
    const samples = [
      encodeLeaf([{ chunk: 300, digest: random.bytes(16), pieces: [PLAIN] }]),
      encodePage(new Map([[3, { place: PLACE, check: random.bytes(8) }]])),
      encodePackPage(new Map([[3, { name: random.bytes(32), bytes: 5, liveParts: 1, parts: 2 }]])),
      encodeRoot({ packs: 3, ownParts: 1, pages: new Map(), packPages: new Map() }),
      encodeHead({ epoch: 1, sequence: 2 }),
      encodeEpoch({
        epoch: { id: random.bytes(16), number: 1, parent: null, node: 'a' },
        place: 1,
        from: null,
      }),
    ];
    const damaged = fc
      .tuple(fc.constantFrom(...samples), fc.nat(1000), fc.integer({ min: 1, max: 255 }), fc.nat(9))
      .map(([sample, at, xor, cut]) => {
        const copy = sample.slice(0, sample.length - (cut < 5 ? 0 : cut));
        copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ xor;
        return copy;
      });
    fc.assert(
      fc.property(fc.oneof(noise, damaged), (some) => {
        for (const decode of [
          () => decodeLeaf(some, 1, PACKS, 'x'),
          () => decodePage(some, PACKS, 'x'),
          () => decodePackPage(some, 'x'),
          () => decodeRoot(some, 'x'),
          () => decodePoint(some, 'x'),
          () => decodeEpoch(some, 'x'),
          () => decodeHead(some),
          () => decodeRecord(some, 'x', () => null),
        ]) {
          refusedOrFine(decode);
        }
      }),
      { numRuns: 3000 },
    );
  });
});

const PLACE = { pack: 1, offset: 100, bytes: 900 };
const PLAIN: Piece = { mask: 0xf, zero: 0x1, place: PLACE };
