// `plainSection` is `section` for the plain case: the same accesses to shared memory in the same
// order (the explorer runs the other one, W1 and H3 rest on it), and nothing done where it is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { Core, plainSection, runNow, section } from '../../src/volume/core.js';
import * as M from '../../src/volume/memory.js';

const shape = { sizeBytes: 4 * MIB, extentBytes: MIB, targets: 2, spillBytes: MIB };

function newCore(metaflush: boolean): Core {
  const core = new Core(M.allocateVolume({ ...shape, metaflush }), 3);
  core.intentWritten.fill(-1);
  return core;
}

const OPERATIONS = ['load', 'store', 'or', 'add', 'compareExchange', 'notify'] as const;

/** Every access to shared memory while `work` runs: what, which buffer, where, with which values.
 */
function accesses(core: Core, work: () => void): string[] {
  const { control, live, slots, intent, intentWritten } = core.memory;
  const maps = [...live, ...slots.flatMap((slot) => slot.maps)];
  const buffers = [control, intent, intentWritten];
  buffers.push(...maps.flatMap((map) => [map.bits, map.summary, map.full]));
  const seen: string[] = [];
  const real = Object.fromEntries(OPERATIONS.map((name) => [name, Atomics[name]]));
  for (const name of OPERATIONS) {
    const watched = (array: Int32Array, ...rest: number[]): unknown => {
      seen.push(`${name} ${buffers.indexOf(array.buffer as SharedArrayBuffer)} ${rest.join(' ')}`);
      return Reflect.apply(real[name] ?? assert.fail, Atomics, [array, ...rest]);
    };
    Object.assign(Atomics, { [name]: watched });
  }
  try {
    work();
  } finally {
    Object.assign(Atomics, real);
  }
  return seen;
}

const places = [
  [0, 4096],
  [4096, 512],
  [MIB - 512, 1024],
  [65_536, MIB],
  [3 * MIB + 4096, MIB - 4096],
] as const;

for (const metaflush of [false, true]) {
  test(`the same accesses in the same order, metaflush ${metaflush}`, () => {
    for (const [offset, length] of places) {
      const [one, other] = [newCore(metaflush), newCore(metaflush)];
      const done: string[] = [];
      const plain = accesses(one, () => {
        assert.equal(
          plainSection(one, offset, length, () => done.push('plain')),
          true,
        );
      });
      const stepped = accesses(other, () => {
        const io = (): void => void done.push('stepped');
        assert.equal(runNow(section(other, offset, length, () => assert.fail(), io)), null);
      });
      assert.deepEqual(plain, stepped, `${length} bytes at ${offset}`);
      assert.ok(plain.length > 6, 'something was looked at');
      assert.deepEqual(done, ['plain', 'stepped']);
    }
  });
}

test('where it is not plain nothing is done, and the section is closed again', () => {
  const cases: [string, (core: Core) => void][] = [
    ['the gate is closed', (core) => Atomics.store(core.control, M.GATE, 1)],
    ['an extent has no intent bit', (core) => Atomics.and(core.intentWritten, 0, ~2)],
    [
      'a target has a frozen set',
      (core) => Atomics.store(core.control, M.SLOT_FIRST + M.SLOT_WORDS + M.SLOT_ACTIVE, 1),
    ],
  ];
  for (const [what, spoil] of cases) {
    const core = newCore(false);
    spoil(core);
    assert.equal(
      plainSection(core, MIB - 4096, 8192, () => assert.fail(what)),
      false,
      what,
    );
    assert.equal(core.control[M.OPEN_FIRST + 3], 0, what);
  }
});

test('an error of the disk leaves no section open', () => {
  const core = newCore(false);
  const failing = (): void => {
    throw new Error('EIO');
  };
  assert.throws(() => plainSection(core, 0, 512, failing), /EIO/);
  assert.equal(core.control[M.OPEN_FIRST + 3], 0);
  assert.ok(core.liveMap().anyMarked(0, 0), 'W1: the mark stays');
});
