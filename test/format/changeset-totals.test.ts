// A trailer that counts other than its frames have is no trailer of theirs, checksum or not: what a
// point is said to have changed comes from there.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOf } from '../../src/base/digest.js';
import { CHANGESET_TRAILER_BYTES } from '../../src/format/changeset-file.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { ChangesetWriter } from '../../src/format/changeset-writer.js';
import { encodeFrame } from '../../src/format/frame.js';
import { packRaw } from '../../src/format/pack.js';
import { allOf, badBecause, HEADER, MemoryHandle, smallFrame } from './material.js';

const BLOCK_BYTES_AT = 24;

test('totals that are not those of the frames are refused at their end', async () => {
  const handle = new MemoryHandle();
  const writer = await ChangesetWriter.create(handle, HEADER);
  await writer.append(encodeFrame(smallFrame(), packRaw), smallFrame().entries);
  await writer.finish();
  const whole = await openChangeset(handle);
  assert.equal((await allOf(whole.frames())).length, 1);
  assert.equal((await whole.frameOffsets()).length, 1);
  const trailer = handle.bytes.subarray(handle.bytes.length - CHANGESET_TRAILER_BYTES);
  new DataView(trailer.buffer, trailer.byteOffset).setBigUint64(BLOCK_BYTES_AT, 8_589_943_296n);
  trailer.set(checkOf(trailer.subarray(0, 88)), 88);
  const lies = await openChangeset(handle);
  const otherwise = badBecause(/8704 block bytes, the trailer says 5 and 8589943296/);
  await assert.rejects(allOf(lies.frames()), otherwise);
  await assert.rejects(lies.frameOffsets(), otherwise);
});
