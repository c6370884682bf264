// Who descends from whom: every verdict of `relate`, by example (H24, H37). Ids decide, numbers
// never do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Epoch,
  mayReplicate,
  type PointRef,
  type PrimaryView,
  type Relation,
  relate,
  sameId,
  type TargetView,
} from '../../src/lineage/lineage.js';

const id = (byte: number): Uint8Array => new Uint8Array(16).fill(byte);
const point = (byte: number, number = byte): PointRef => ({ id: id(byte), number, timeMs: 0 });
const epoch = (byte: number, parent: number | null = null): Epoch => ({
  id: id(byte),
  number: 1,
  parent: parent === null ? null : id(parent),
  node: 'a',
});

const MINE: PrimaryView = {
  resource: id(100),
  epochs: [epoch(50)],
  point: point(3),
  proposed: id(4),
  knownPoints: [id(1), id(2), id(3)],
};
const THEIRS: TargetView = { resource: id(100), epochs: [epoch(50)], point: point(3), lost: null };

const CASES: readonly {
  readonly what: string;
  readonly mine?: Partial<PrimaryView>;
  readonly theirs?: Partial<TargetView>;
  readonly is: Relation;
}[] = [
  { what: 'stands at my last point', is: 'same' },
  {
    what: 'stands at what I proposed: the answer was lost',
    theirs: { point: point(4) },
    is: 'lost-ack',
  },
  { what: 'has never been anybody s', theirs: { resource: null, point: null }, is: 'empty' },
  { what: 'is being filled by me', mine: { point: null }, theirs: { point: null }, is: 'empty' },
  { what: 'another resource', theirs: { resource: id(101) }, is: 'foreign' },
  { what: 'an older point of mine: set back', theirs: { point: point(2) }, is: 'behind' },
  { what: 'lost all points but kept the id', theirs: { point: null }, is: 'behind' },
  {
    what: 'could not keep my last one and says so',
    theirs: { point: point(2), lost: id(3) },
    is: 'lost-point',
  },
  { what: 'lost one that is not my last', theirs: { point: point(1), lost: id(2) }, is: 'behind' },
  {
    what: 'promoted from my last point',
    theirs: { epochs: [epoch(50), epoch(51, 3)] },
    is: 'ahead',
  },
  {
    what: 'promoted from an older point',
    theirs: { epochs: [epoch(50), epoch(51, 2)] },
    is: 'diverged',
  },
  {
    what: 'a point I never made: I was set back (H24)',
    theirs: { point: point(9) },
    is: 'diverged',
  },
  { what: 'my number, another id (H24)', theirs: { point: point(9, 3) }, is: 'diverged' },
  {
    what: 'an epoch of my number, another id (H37)',
    theirs: { epochs: [epoch(60)] },
    is: 'diverged',
  },
  {
    what: 'an older epoch of mine, my last point',
    mine: { epochs: [epoch(50), epoch(51, 3)] },
    is: 'same',
  },
];

for (const { what, mine, theirs, is } of CASES) {
  test(`${is}: ${what}`, () => {
    const relation = relate({ ...MINE, ...mine }, { ...THEIRS, ...theirs });
    assert.equal(relation, is);
    const moves = ['same', 'lost-ack', 'lost-point', 'empty'].includes(is);
    assert.equal(mayReplicate(relation), moves, 'data moves only where nothing is overwritten');
  });
}

test('ids are the same by content; absent is the same as absent only', () => {
  assert.ok(sameId(id(1), id(1)));
  assert.ok(sameId(null, undefined));
  assert.ok(!sameId(id(1), id(2)));
  assert.ok(!sameId(id(1), null));
});
