// What is discarded reads as zeroes and takes no memory; what is written again is kept.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { MIB } from '../../src/base/units.js';
import { discard } from '../../src/disk/discard.js';

const residentBytes = (): number => {
  const [, pages] = readFileSync('/proc/self/statm', 'utf8').split(' ');
  return Number(pages) * 4096;
};

test('memory that is discarded is given back', () => {
  const memory = new SharedArrayBuffer(64 * MIB);
  const bytes = new Uint8Array(memory);
  bytes.fill(1);
  const before = residentBytes();
  discard(memory);
  assert.ok(before - residentBytes() > 48 * MIB, 'it has gone');
  // Nobody is promised the pages at both ends.
  const whole = bytes.subarray(64 * 1024, bytes.length - 64 * 1024);
  assert.ok(
    whole.every((byte) => byte === 0),
    'zeroes',
  );
  bytes[MIB] = 7;
  assert.equal(bytes[MIB], 7);
});

test('memory beside it is left alone', () => {
  const all = Array.from({ length: 24 }, () => new SharedArrayBuffer(MIB + 4096));
  for (const memory of all) new Uint8Array(memory).fill(1);
  for (let at = 1; at < all.length; at += 2) discard(all[at] ?? new SharedArrayBuffer(0));
  for (let at = 0; at < all.length; at += 2) {
    const bytes = new Uint8Array(all[at] ?? new SharedArrayBuffer(0));
    assert.equal(bytes.indexOf(0), -1, `memory ${at}`);
  }
});

test('what is short is left alone', () => {
  const memory = new SharedArrayBuffer(4096);
  new Uint8Array(memory).fill(1);
  discard(memory);
  assert.ok(new Uint8Array(memory).every((byte) => byte === 1));
});
