// BlockMap against a set of numbers: every operation in any order, on odd sizes, with pages held as
// a flag; several maps over one memory, as threads have them; disks above 16 TiB.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  BLOCK_BYTES,
  BLOCKS_PER_CHUNK,
  bitCount,
  blockCount,
  CHUNK_BYTES,
  chunkCount,
  GIB,
  MIB,
  TIB,
} from '../../src/base/units.js';
import {
  allocateMap,
  BLOCKS_PER_PAGE,
  BlockMap,
  CHUNKS_PER_PAGE,
} from '../../src/tracking/block-map.js';

const SEED = Number(process.env['HAST_SEED'] ?? 20_260_713);
const PAGE_BYTES = BLOCKS_PER_PAGE * BLOCK_BYTES;

/** Sizes around the borders of block, word, chunk, page (128 MiB) and flag word. */
const SIZES = [
  512,
  BLOCK_BYTES,
  CHUNK_BYTES + 512,
  32 * BLOCK_BYTES,
  33 * BLOCK_BYTES + 512,
  10 * MIB + 512,
  PAGE_BYTES,
  PAGE_BYTES + 512,
  2 * PAGE_BYTES + 17 * BLOCK_BYTES,
];

type Operation =
  | { readonly kind: 'mark'; readonly at: number; readonly length: number; readonly other: boolean }
  | { readonly kind: 'clearChunk'; readonly at: number; readonly mask: number }
  | { readonly kind: 'markPage' | 'clearPage' | 'take'; readonly at: number }
  | { readonly kind: 'markAll' | 'clearAll' | 'merge' };

const share = fc.double({ min: 0, max: 0.999_999, noNaN: true });
const length = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 1, max: 40_000 }));
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('mark' as const),
      at: share,
      length,
      other: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('clearChunk' as const),
      at: share,
      mask: fc.integer({ min: 0, max: 0xffff }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('markPage' as const, 'clearPage' as const, 'take' as const),
      at: share,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('markAll' as const, 'clearAll' as const, 'merge' as const),
    }),
  },
);

/** The map, a second view of its memory, and the same as a set; `other` is merged from. */
class Pair {
  readonly map: BlockMap;
  readonly view: BlockMap;
  readonly other: BlockMap;
  readonly model = new Set<number>();
  readonly otherModel = new Set<number>();
  readonly blocks: number;

  constructor(sizeBytes: number) {
    const memory = allocateMap(sizeBytes);
    this.map = new BlockMap(memory);
    this.view = new BlockMap(memory);
    this.other = new BlockMap(allocateMap(sizeBytes));
    this.blocks = blockCount(sizeBytes);
  }

  apply(op: Operation): void {
    const { map, model } = this;
    switch (op.kind) {
      case 'mark': {
        const first = Math.floor(op.at * this.blocks);
        const last = Math.min(this.blocks, first + op.length) - 1;
        (op.other ? this.other : map).mark(first, last);
        add(op.other ? this.otherModel : model, first, last);
        break;
      }
      case 'clearChunk': {
        const chunk = Math.floor((op.at * this.blocks) / BLOCKS_PER_CHUNK);
        map.clearChunk(chunk, op.mask);
        for (let bit = 0; bit < 16; bit += 1) {
          if ((op.mask & (1 << bit)) !== 0) model.delete(chunk * BLOCKS_PER_CHUNK + bit);
        }
        break;
      }
      case 'markPage':
      case 'clearPage': {
        const page = Math.floor(op.at * map.pages);
        const last = Math.min(this.blocks, (page + 1) * BLOCKS_PER_PAGE) - 1;
        if (op.kind === 'markPage') {
          map.markPage(page);
          add(model, page * BLOCKS_PER_PAGE, last);
        } else {
          map.clearPage(page);
          for (let block = page * BLOCKS_PER_PAGE; block <= last; block += 1) model.delete(block);
        }
        break;
      }
      case 'take':
        this.#take(Math.floor(op.at * map.pages));
        break;
      case 'markAll':
        map.markAll();
        add(model, 0, this.blocks - 1);
        break;
      case 'clearAll':
        map.clearAll();
        model.clear();
        break;
      case 'merge':
        map.merge(this.other);
        for (const block of this.otherModel) model.add(block);
        break;
      default:
        op satisfies never;
    }
  }

  /** From that page to the end of the disk. */
  #take(page: number): void {
    const { map, model } = this;
    const [first, end] = [page * CHUNKS_PER_PAGE, Math.ceil(this.blocks / BLOCKS_PER_CHUNK)];
    const taken: number[] = [];
    for (const run of map.take(first, end)) {
      assert.ok(run.first < run.end, 'no run is empty');
      assert.ok(run.first > (taken.at(-1) ?? -2) + 1, 'runs ascend, and do not touch');
      for (let chunk = run.first; chunk < run.end; chunk += 1) taken.push(chunk);
    }
    const marked = [...model].map((block) => Math.floor(block / BLOCKS_PER_CHUNK));
    const wanted = [...new Set(marked)].filter((chunk) => chunk >= first).sort((a, b) => a - b);
    assert.deepEqual(taken, wanted);
    for (const block of model) if (block >= page * BLOCKS_PER_PAGE) model.delete(block);
  }

  check(): void {
    const { model, view } = this;
    const chunks = new Set([...model].map((block) => Math.floor(block / BLOCKS_PER_CHUNK)));
    assert.deepEqual(view.count(), { blocks: model.size, chunks: chunks.size });
    const walked: number[] = [];
    for (let chunk = view.nextChunk(0); chunk >= 0; chunk = view.nextChunk(chunk + 1)) {
      walked.push(chunk);
      assert.equal(view.chunkMask(chunk), this.#mask(chunk), `mask of chunk ${chunk}`);
    }
    assert.deepEqual(
      walked,
      [...chunks].sort((a, b) => a - b),
    );
  }

  checkRange(at: number, blocks: number): void {
    const first = Math.floor(at * this.blocks);
    const last = Math.min(this.blocks, first + blocks) - 1;
    let found = false;
    for (let block = first; block <= last && !found; block += 1) found = this.model.has(block);
    assert.equal(this.view.anyMarked(first, last), found, `blocks ${first}..${last}`);
  }

  #mask(chunk: number): number {
    let mask = 0;
    for (let bit = 0; bit < BLOCKS_PER_CHUNK; bit += 1) {
      if (this.model.has(chunk * BLOCKS_PER_CHUNK + bit)) mask |= 1 << bit;
    }
    return mask;
  }
}

function add(model: Set<number>, first: number, last: number): void {
  for (let block = first; block <= last; block += 1) model.add(block);
}

describe('BlockMap', () => {
  for (const sizeBytes of SIZES) {
    test(`agrees with a set, ${sizeBytes} bytes`, (t) => {
      t.diagnostic(`HAST_SEED=${SEED}`);
      const questions = fc.array(fc.tuple(share, length), { maxLength: 10 });
      const property = fc.property(
        fc.array(operation, { maxLength: 12 }),
        questions,
        (ops, asked) => {
          const pair = new Pair(sizeBytes);
          for (const op of ops) {
            pair.apply(op);
            for (const [at, blocks] of asked) pair.checkRange(at, blocks);
          }
          pair.check();
        },
      );
      fc.assert(property, { seed: SEED, numRuns: sizeBytes > PAGE_BYTES ? 25 : 60 });
    });
  }

  test('a merged map is the union whatever either holds as a flag', () => {
    for (const [full, marks] of [
      ['into', 5],
      ['from', 5],
    ] as const) {
      const [into, from] = [allocateMap(PAGE_BYTES), allocateMap(PAGE_BYTES)].map(
        (memory) => new BlockMap(memory),
      );
      assert.ok(into && from);
      (full === 'into' ? into : from).markAll();
      (full === 'into' ? from : into).mark(marks, marks);
      into.merge(from);
      assert.equal(into.count().blocks, BLOCKS_PER_PAGE);
    }
  });

  test('a full page of which one chunk is cleared keeps all others', () => {
    const map = new BlockMap(allocateMap(PAGE_BYTES + CHUNK_BYTES));
    map.markAll();
    map.clearChunk(7, 0x00ff);
    assert.equal(map.chunkMask(7), 0xff00);
    assert.equal(map.count().blocks, BLOCKS_PER_PAGE + BLOCKS_PER_CHUNK - 8);
    assert.equal(map.isFullPage(0), false);
    assert.equal(map.isFullPage(1), true);
  });

  test('the pages to walk are those with marks (H15)', () => {
    const map = new BlockMap(allocateMap(40 * PAGE_BYTES));
    map.mark(33 * BLOCKS_PER_PAGE, 33 * BLOCKS_PER_PAGE);
    map.mark(5 * BLOCKS_PER_PAGE - 1, 5 * BLOCKS_PER_PAGE);
    assert.deepEqual([...map.setPages()], [4, 5, 33]);
    assert.equal(map.nextChunk(5 * CHUNKS_PER_PAGE + 1), 33 * CHUNKS_PER_PAGE);
    map.clearAll();
    assert.deepEqual([...map.setPages()], []);
  });

  test('the words of a page are ORed into what is there', () => {
    const map = new BlockMap(allocateMap(PAGE_BYTES));
    map.mark(33, 34);
    const words = new Int32Array(1024);
    words[1] = 1;
    map.orPageInto(0, words);
    assert.equal(words[1], 0b111);
    map.markAll();
    map.orPageInto(0, words);
    assert.ok(words.every((word) => word === -1));
  });

  test('a disk above 16 TiB, where block numbers pass 32 bits', () => {
    const sizeBytes = 17 * TIB + 512;
    const map = new BlockMap(allocateMap(sizeBytes));
    const far = (16 * TIB) / BLOCK_BYTES + 3;
    const last = blockCount(sizeBytes) - 1;
    map.mark(far, far);
    map.mark(last - 1, last);
    assert.equal(map.anyMarked(far, far), true);
    assert.equal(map.anyMarked(3, 3), false, 'block 3 is not block 2^32 + 3');
    assert.equal(map.nextChunk(0), Math.floor(far / BLOCKS_PER_CHUNK));
    assert.equal(map.nextChunk(Math.floor(far / BLOCKS_PER_CHUNK) + 1), chunkCount(sizeBytes) - 2);
    assert.deepEqual(map.count(), { blocks: 3, chunks: 3 });
    map.clearChunk(Math.floor(far / BLOCKS_PER_CHUNK));
    assert.equal(map.anyMarked(far, far), false);
  });

  test('bits of a mask are counted', () => {
    for (let mask = 0; mask <= 0xffff; mask += 1) {
      const expected = mask.toString(2).replaceAll('0', '').length;
      if (bitCount(mask) !== expected) assert.equal(bitCount(mask), expected, `mask ${mask}`);
    }
    assert.equal(bitCount(-1), 16);
  });

  test('a map of a TiB has address space of 32 MiB, and flags for its pages', () => {
    const memory = allocateMap(TIB);
    assert.equal(memory.bits.byteLength, 32 * MIB);
    assert.equal(memory.summary.byteLength, TIB / PAGE_BYTES / 8);
    assert.equal(allocateMap(GIB + 512).bits.byteLength, 9 * 4096);
  });
});
