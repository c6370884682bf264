// H9, W1: the clearer of intent bits against two writers, in every order. Both are written down
// again here, access by access, also inside the lock of the file, where core.ts and intent.ts run
// without a yield: real threads do stop there. At no step is a block written while the bit of its
// extent is absent from the file. intent.test.ts holds the program's own code to the same.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Steps } from '../../src/volume/core.js';
import { Broken, exploreAll, listening, saw, type World } from './explorer.js';

// Words of the world: bit e of LIVE, WRITTEN, IMAGE is extent e's.
const [LIVE, WRITTEN, IMAGE, LOCK, FILE, WORDS] = [0, 1, 2, 3, 4, 5];

interface Clearer {
  /** Sets `intentWritten` back only where the clearer itself had found it set. */
  readonly setBackOwn: boolean;
  readonly looksAgain: boolean;
  readonly takesLock: boolean;
  /** Clears `intentWritten` before it looks at live, and not after. */
  readonly clearsFirst: boolean;
  /** Takes the lock before that; metaflush-interleave.test.ts shows why. */
  readonly locksFirst: boolean;
}
const right: Clearer = {
  setBackOwn: true,
  looksAgain: true,
  takesLock: true,
  clearsFirst: true,
  locksFirst: true,
};

class IntentWorld {
  readonly control = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #clearer: Clearer;
  readonly #known: number;
  #written = 0;

  /** `known`: the extents whose bits stand everywhere at the start. */
  constructor(clearer: Clearer, known: number) {
    this.#clearer = clearer;
    this.#known = known;
  }

  start(extents: readonly number[]): World {
    const { control } = this;
    control.fill(0);
    for (const word of [WRITTEN, IMAGE, FILE]) control[word] = this.#known;
    this.#written = 0;
    const actors = extents.map((extent, index) => ({
      name: `w${index}`,
      steps: this.#write(extent),
      seen: 0,
    }));
    return {
      actors: [...actors, { name: 'clearer', steps: this.#clear(), seen: 0 }],
      control,
      state: () => `${control.join()},${this.#written}`,
      check: () => {},
      checkEnd: () => {
        const file = control[FILE] ?? 0;
        assert.equal(file & this.#written, this.#written, 'W1: bits of what was written stand');
        assert.equal((control[WRITTEN] ?? 0) & ~file, 0, 'no bit is believed that is not there');
        assert.equal(control[LOCK], 0);
      },
    };
  }

  /** section and markIntent of core.ts, without a cut. */
  *#write(extent: number): Steps<void> {
    const { control } = this;
    const bit = 1 << extent;
    for (;;) {
      yield;
      Atomics.or(control, LIVE, bit);
      yield;
      if ((Atomics.load(control, WRITTEN) & bit) !== 0) break;
      yield;
      if (Atomics.compareExchange(control, LOCK, 0, 1) !== 0) {
        yield { word: LOCK, value: 1 };
        continue;
      }
      yield;
      Atomics.or(control, IMAGE, bit);
      yield* this.#writePage();
      yield;
      Atomics.or(control, WRITTEN, bit);
      yield;
      this.#unlock();
      break;
    }
    yield;
    const file = Atomics.load(control, FILE);
    assert.notEqual(file & bit, 0, `W1: extent ${extent} is written, its bit is not in the file`);
    this.#written |= bit;
  }

  /** The page goes to the file bit by bit: the kernel copies while others change the image. */
  *#writePage(): Steps<void> {
    const { control } = this;
    for (const bit of [1, 2]) {
      yield;
      const image = Atomics.load(control, IMAGE) & bit;
      Atomics.store(control, FILE, ((control[FILE] ?? 0) & ~bit) | image);
    }
  }

  /** IntentOwner.clearCold and #clearPage with keepdirty 0. */
  *#clear(): Steps<void> {
    const { control } = this;
    yield;
    const image = Atomics.load(control, IMAGE);
    const cold = [0, 1].filter((extent) => (image & (1 << extent)) !== 0);
    const { locksFirst, clearsFirst } = this.#clearer;
    let locked = locksFirst && (yield* this.#tryLock());
    if (locksFirst && !locked) return;
    let had = 0;
    for (const extent of clearsFirst ? cold : []) {
      yield;
      had |= Atomics.and(control, WRITTEN, ~(1 << extent));
    }
    saw(had);
    if (!locksFirst) locked = yield* this.#tryLock();
    for (const extent of cold) {
      const bit = 1 << extent;
      yield;
      const hot = this.#clearer.looksAgain && (Atomics.load(control, LIVE) & bit) !== 0;
      yield;
      if (locked && !hot) Atomics.and(control, IMAGE, ~bit);
      else if (!this.#clearer.setBackOwn || (had & bit) !== 0) Atomics.or(control, WRITTEN, bit);
      if (!this.#clearer.clearsFirst && locked && !hot) Atomics.and(control, WRITTEN, ~bit);
    }
    if (!locked) return;
    yield* this.#writePage();
    yield;
    if (this.#clearer.takesLock) this.#unlock();
  }

  *#tryLock(): Steps<boolean> {
    yield;
    return !this.#clearer.takesLock || Atomics.compareExchange(this.control, LOCK, 0, 1) === 0;
  }

  #unlock(): void {
    Atomics.store(this.control, LOCK, 0);
    Atomics.notify(this.control, LOCK);
  }
}

function explore(clearer: Clearer, known: number, extents: readonly number[]) {
  const world = new IntentWorld(clearer, known);
  return listening(
    () => world.control,
    () => exploreAll(() => world.start(extents)),
  );
}

/** Bits that stand at the start, and the extents of the two writers. */
const STARTS: readonly (readonly [number, readonly number[]])[] = [
  [0b01, [0, 0]],
  [0b01, [0, 1]],
  [0b11, [0, 1]],
  [0b00, [0, 0]],
  [0b10, [0, 0]],
];

describe('H9: the clearer and two writers in every order', () => {
  test('no block is written before its bit is in the file', (t) => {
    let states = 0;
    for (const [known, extents] of STARTS) states += explore(right, known, extents).states;
    t.diagnostic(`${states} states`);
    assert.ok(states > 1000);
  });

  test('with metaflush off a clearer may take bits before it has the lock', () => {
    for (const [known, extents] of STARTS) explore({ ...right, locksFirst: false }, known, extents);
  });

  const mutants: readonly (readonly [string, Partial<Clearer>])[] = [
    ['sets a bit back that it had not taken', { setBackOwn: false, locksFirst: false }],
    ['does not look at live again', { looksAgain: false }],
    ['writes the page without the lock', { takesLock: false }],
    ['clears what writers believe after its look at live', { clearsFirst: false }],
  ];
  for (const [title, mutant] of mutants) {
    test(`the explorer catches a clearer that ${title}`, () => {
      assert.throws(() => {
        for (const [known, extents] of STARTS) explore({ ...right, ...mutant }, known, extents);
      }, Broken);
    });
  }
});
