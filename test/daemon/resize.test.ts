// Which sizes a resource may take, and when (H14).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { MIB } from '../../src/base/units.js';
import { newSize, type ResizeFacts, resizeNotes } from '../../src/daemon/resize.js';

const FACTS: ResizeFacts = {
  name: 'vm1',
  path: '/srv/vm1.img',
  role: 'primary',
  follows: null,
  sizeBytes: 8 * MIB,
  diskBytes: 16 * MIB,
  guests: 0,
};
const WHOLE = { sizeBytes: null, disconnect: false };

const refused = (
  facts: Partial<ResizeFacts>,
  request: Partial<typeof WHOLE>,
  code: string,
): void => {
  assert.throws(
    () => newSize({ ...FACTS, ...facts }, { ...WHOLE, ...request }),
    (error) => codeOf(error) === code,
  );
};

test('to the whole disk, or to a size that it has room for', () => {
  assert.equal(newSize(FACTS, WHOLE), 16 * MIB);
  const some = { ...WHOLE, sizeBytes: 8 * MIB + 512 } as const;
  assert.equal(newSize(FACTS, some as never), 8 * MIB + 512);
  assert.equal(newSize({ ...FACTS, role: 'init' }, WHOLE), 16 * MIB);
});

test('the size it has is no error and no change, guests or not', () => {
  assert.equal(newSize({ ...FACTS, diskBytes: 8 * MIB, guests: 3 }, WHOLE), null);
});

test('never smaller, never beyond the disk, only whole sectors, never a replica', () => {
  refused({ diskBytes: 4 * MIB }, {}, 'RESIZE_SMALLER');
  refused({}, { sizeBytes: 4 * MIB } as never, 'RESIZE_SMALLER');
  refused({}, { sizeBytes: 16 * MIB + 512 } as never, 'RESIZE_DISK');
  refused({}, { sizeBytes: 9 * MIB + 1 } as never, 'CONTROL_BAD_REQUEST');
  refused({ role: 'secondary' }, {}, 'CONTROL_WRONG_ROLE');
});

test('guests are not cut off unasked', () => {
  refused({ guests: 1 }, {}, 'RESIZE_GUESTS');
  assert.equal(newSize({ ...FACTS, guests: 1 }, { ...WHOLE, disconnect: true }), 16 * MIB);
});

test('the operator reads both sizes', () => {
  assert.match(resizeNotes('vm1', 8 * MIB, 16 * MIB)[0] ?? '', /^vm1: 8.* -> 16/);
});

test('a node that received what it has does not grow it by itself, whatever its role', () => {
  for (const role of ['init', 'secondary'] as const) {
    assert.throws(() => newSize({ ...FACTS, role, follows: 'b' }, WHOLE), {
      message: new RegExp(`role is ${role}; .*b was it last.*resize vm1 there.*role primary vm1`),
    });
  }
});
