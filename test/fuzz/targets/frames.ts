// Changesets: frame headers, frames, packed bodies, whole files and staged ones. Checks are put
// right after a change, so that what is behind them is reached; a frame is then read as the
// replica reads it, and encoded again. Layouts: hast-changeset(5).
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkOf, equalBytes } from '../../../src/base/digest.js';
import type { Random } from '../../../src/base/random.js';
import { CHUNK_BYTES } from '../../../src/base/units.js';
import { FRAME_BYTES_MAX } from '../../../src/format/changeset.js';
import { decodeFrame, encodeFrame, frameHead } from '../../../src/format/frame.js';
import {
  decodeFrameHeader,
  FRAME_HEADER_BYTES,
  headBytes,
  RECORD_BYTES,
  sealFrame,
} from '../../../src/format/frame-header.js';
import { blockSpans } from '../../../src/format/frame-spans.js';
import { CODEC_RAW, CODEC_ZSTD, packer, packRaw, unpack } from '../../../src/format/pack.js';
import { frames, SMALL_SIZE_BYTES, smallFrame } from '../../format/material.js';
import { decided, oneBitOff, plain, pure, type Target } from '../target.js';

const PLACE = 'fuzz at 0';
const INPUT_BYTES_MAX = 20_000;
/** Of the disk that frames are for; its last block is short. */
const SIZE_BYTES = SMALL_SIZE_BYTES;
const RAW_AT = 24;
const STORED_AT = 28;
const BODY_CHECK_AT = 32;
const CHECK_AT = 40;

/** Lengths and both checks of one frame put right, and its counts where they can be told. */
export function mendFrame(bytes: Uint8Array, random: Random): Uint8Array {
  if (bytes.length < FRAME_HEADER_BYTES) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (random.below(16) > 0) bytes.set(Buffer.from('HFR1'));
  if (random.below(4) > 0) view.setUint32(STORED_AT, bytes.length - FRAME_HEADER_BYTES);
  const isRaw = bytes[16] === CODEC_RAW;
  if (isRaw && random.below(4) > 0) view.setUint32(RAW_AT, bytes.length - FRAME_HEADER_BYTES);
  if (random.below(2) === 0) bytes.fill(0, 17, RAW_AT);
  if (isRaw && random.below(2) === 0 && bytes.length >= FRAME_HEADER_BYTES + RECORD_BYTES) {
    bytes.copyWithin(8, FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + 4);
  }
  bytes.set(checkOf(bytes.subarray(FRAME_HEADER_BYTES)), BODY_CHECK_AT);
  bytes.set(checkOf(bytes.subarray(0, CHECK_AT)), CHECK_AT);
  return bytes;
}

const header: Target = {
  name: 'frame-header',
  kind: 'bytes',
  inputBytesMax: 64,
  // The check below makes a body of the length that the header allows.
  onceBytesMax: FRAME_BYTES_MAX,
  totalBytesMax: 3 * FRAME_BYTES_MAX,
  seeds: () => [encodeFrame(smallFrame(), packRaw).slice(0, FRAME_HEADER_BYTES)],
  mend: (bytes) => {
    if (bytes.length >= FRAME_HEADER_BYTES)
      bytes.set(checkOf(bytes.subarray(0, CHECK_AT)), CHECK_AT);
    return bytes;
  },
  open: pure((input) =>
    decided(
      PLACE,
      () => decodeFrameHeader(input, PLACE),
      (facts) => {
        assert.ok(facts.rawBytes >= facts.storedBytes, 'packing never makes a body longer');
        assert.ok(FRAME_HEADER_BYTES + facts.rawBytes <= FRAME_BYTES_MAX, 'may be allocated');
        assert.ok(facts.rawBytes >= headBytes(facts.records));
        // The same facts and a body of that length: the same header, but for the body's check.
        const body = { codec: facts.codec, bytes: new Uint8Array(facts.storedBytes) };
        const again = sealFrame(facts, body).subarray(0, BODY_CHECK_AT);
        assert.ok(equalBytes(again, input.subarray(0, BODY_CHECK_AT)), 'one encoding');
        assert.throws(() => decodeFrameHeader(oneBitOff(input, 0, FRAME_HEADER_BYTES), PLACE));
      },
    ),
  ),
};

function sampled(random: Random): Uint8Array[] {
  const few = fc.sample(frames, { seed: random.below(2 ** 31), numRuns: 4 });
  const packers = [packRaw, packer({ codec: 'zstd' })];
  return few
    .flatMap(({ frame }) => packers.map((pack) => encodeFrame(frame, pack)))
    .filter((bytes) => bytes.length <= INPUT_BYTES_MAX);
}

const frame: Target = {
  name: 'frame',
  kind: 'bytes',
  inputBytesMax: INPUT_BYTES_MAX,
  onceBytesMax: FRAME_BYTES_MAX,
  totalBytesMax: 16 * FRAME_BYTES_MAX,
  seeds: (random) => [
    encodeFrame(smallFrame(), packRaw),
    encodeFrame(smallFrame(1), packer({ codec: 'zstd' })),
    encodeFrame(
      { ...smallFrame(), entries: smallFrame().entries.slice(1, 4), blocks: NONE },
      packRaw,
    ),
    ...sampled(random),
  ],
  mend: mendFrame,
  open: pure((input) => {
    // Of the disk it says it is for: the small one, or one that ends with the last chunk it names.
    const sizes = [SIZE_BYTES, 2 ** 47, 5 * CHUNK_BYTES + 512];
    const sizeBytes = sizes[(input[4] ?? 0) % sizes.length] ?? SIZE_BYTES;
    return decided(
      PLACE,
      () => decodeFrame(input, PLACE, unpack, sizeBytes),
      (got) => {
        const again = encodeFrame(got, packRaw);
        const back = decodeFrame(again, PLACE, unpack, sizeBytes);
        assert.equal(plain(back), plain(got), 'encoded again it means the same');
        const head = frameHead(input, PLACE, unpack, sizeBytes);
        assert.equal(plain(head.entries), plain(got.entries), 'the head alone says the same');
        let before = 0;
        for (const span of blockSpans(got, sizeBytes)) {
          assert.ok(span.offset >= before && span.length > 0, 'ranges ascend');
          before = span.offset + span.length;
        }
        assert.ok(before <= sizeBytes, 'and lie on the disk');
        assert.throws(() => decodeFrame(oneBitOff(input), PLACE, unpack, sizeBytes), /fuzz at 0/);
      },
    );
  }),
};

const NONE = new Uint8Array(0);

/** Input: codec 1, raw length 4, wanted length 4, then what is stored. */
const packed: Target = {
  name: 'pack',
  kind: 'bytes',
  inputBytesMax: 8192,
  onceBytesMax: FRAME_BYTES_MAX,
  totalBytesMax: 4 * FRAME_BYTES_MAX,
  seeds: () =>
    [1000, 70_000].map((length) => {
      const body = Buffer.alloc(length, 'abcdefgh');
      const head = Buffer.alloc(9);
      head[0] = CODEC_ZSTD;
      head.writeUInt32BE(length, 1);
      head.writeUInt32BE(100, 5);
      return Buffer.concat([head, packer({ codec: 'zstd' })(body).bytes]);
    }),
  open: pure((input) => {
    if (input.length < 9) return 'refused';
    const view = new DataView(input.buffer, input.byteOffset);
    const rawBytes = view.getUint32(1) % FRAME_BYTES_MAX;
    const wantBytes = view.getUint32(5) % (rawBytes + 1);
    const codec = (input[0] ?? 0) & 1 ? CODEC_ZSTD : CODEC_RAW;
    const stored = input.subarray(9);
    const whole = unpack(stored, codec, rawBytes);
    const part = unpack(stored, codec, rawBytes, wantBytes);
    if (whole === null) return 'refused';
    assert.equal(whole.length, rawBytes);
    assert.ok(part !== null && equalBytes(part, whole.subarray(0, wantBytes)), 'a part of it');
    return 'accepted';
  }),
};

export const FRAME_TARGETS: readonly Target[] = [header, frame, packed];
