// The memory of what was verified of an archive. What is accepted is encoded again to the same
// bytes: there is one way to write each.
import { CHECK_BYTES, checkOf } from '../../../src/base/digest.js';
import { MIB } from '../../../src/base/units.js';
import { decodeLooks, encodeLooks } from '../../../src/format/archive-looks.js';
import { pure, type Target } from '../target.js';
import { once, PLACE } from './archives.js';

const HEADER_BYTES = 64;
const name = (first: number): Uint8Array => new Uint8Array(32).fill(first);
const pass = { begunMs: 1_800_000_000_000, spentBytes: 5 * MIB, ended: true, badTables: 1 };

/** Both checks put right. */
function mend(bytes: Uint8Array): Uint8Array {
  if (bytes.length < HEADER_BYTES + CHECK_BYTES) return bytes;
  const end = bytes.length - CHECK_BYTES;
  bytes.set(checkOf(bytes.subarray(0, HEADER_BYTES - CHECK_BYTES)), HEADER_BYTES - CHECK_BYTES);
  bytes.set(checkOf(bytes.subarray(HEADER_BYTES, end)), end);
  return bytes;
}

const looks: Target = {
  name: 'archive-looks',
  kind: 'bytes',
  inputBytesMax: 4096,
  onceBytesMax: MIB,
  totalBytesMax: 4 * MIB,
  words: ['HASTVFY0'],
  seeds: () => [
    encodeLooks({ archive: name(1).slice(16), pass: { ...pass, ended: false }, rows: [] }),
    encodeLooks({
      archive: name(2).slice(16),
      pass,
      rows: [
        { name: name(1), bytes: 100, lookedMs: 0, fault: null },
        { name: name(2), bytes: 64 * MIB, lookedMs: 1_800_000_000_000, fault: 'content' },
        { name: name(3), bytes: 5, lookedMs: 7, fault: 'missing' },
      ],
    }),
  ],
  mend,
  open: pure((input) => once(input, (bytes) => decodeLooks(bytes, PLACE), encodeLooks)),
};

export const LOOKS_TARGETS: readonly Target[] = [looks];
