// Files of another version than 1: refused by version and not as damage, in a sentence that has the
// file, both versions and what to try. Version 0 is that of builds before the first release; a
// higher one, of releases to come. Every kept format has a row, so that none misses its number.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freshState } from '../../src/care/create.js';
import { FormatError } from '../../src/format/changeset.js';
import { decodeHeader, decodeTrailer } from '../../src/format/changeset-file.js';
import { openChangeset } from '../../src/format/changeset-reader.js';
import { decodeTableHeader, encodeTableHeader } from '../../src/format/digest-table.js';
import { encodeDirty, openDirty } from '../../src/format/dirty-file.js';
import { encodeFrame } from '../../src/format/frame.js';
import { decodeFrameHeader } from '../../src/format/frame-header.js';
import { decodeIntentHeader, encodeIntentHeader } from '../../src/format/intent-file.js';
import { packRaw } from '../../src/format/pack.js';
import { decodeResourceState, encodeResourceState } from '../../src/format/resource-state.js';
import { changesetFile } from './golden-files.js';
import { badBecause, HEADER, MemoryHandle, SMALL_SIZE_BYTES, smallFrame } from './material.js';

const PLACE = 'memory';
const DISK = { resource: HEADER.resource, sizeBytes: SMALL_SIZE_BYTES };

interface Row {
  readonly what: string;
  readonly bytes: Uint8Array;
  /** Where the digit of the version stands. */
  readonly digitAt: number;
  decode(bytes: Uint8Array): unknown;
}

const FILE = await changesetFile();
const ROWS: readonly Row[] = [
  {
    what: 'changeset header',
    bytes: FILE,
    digitAt: 7,
    decode: (bytes) => decodeHeader(bytes, PLACE),
  },
  {
    what: 'changeset header',
    bytes: FILE,
    digitAt: 7,
    decode: (bytes) => openChangeset(new MemoryHandle(bytes)),
  },
  {
    what: 'changeset trailer',
    bytes: FILE.slice(-96),
    digitAt: 7,
    decode: (bytes) => decodeTrailer(bytes, PLACE, FILE.length),
  },
  {
    what: 'frame',
    bytes: encodeFrame(smallFrame(), packRaw),
    digitAt: 3,
    decode: (bytes) => decodeFrameHeader(bytes, PLACE),
  },
  {
    what: 'dirty map',
    bytes: Buffer.concat([...encodeDirty({ ...DISK, generation: 1 }, [])]),
    digitAt: 7,
    decode: (bytes) => openDirty(new MemoryHandle(bytes)),
  },
  {
    what: 'digest table header',
    bytes: encodeTableHeader({ ...DISK, absentIsZero: false, point: null }),
    digitAt: 7,
    decode: (bytes) => decodeTableHeader(bytes, PLACE),
  },
  {
    what: 'intent map header',
    bytes: encodeIntentHeader({ ...DISK, extentBytes: 65_536 }),
    digitAt: 7,
    decode: (bytes) => decodeIntentHeader(bytes, PLACE),
  },
  {
    what: 'resource state',
    bytes: encodeResourceState(freshState('vm1')),
    digitAt: 'hast resource '.length,
    decode: (bytes) => decodeResourceState(bytes, PLACE),
  },
];

const WHO: Readonly<Record<string, string>> = { 0: 'an earlier build', 2: 'a later release' };

for (const [at, { what, bytes, digitAt, decode }] of ROWS.entries()) {
  test(`${what}, row ${at}: another version is refused as one`, async () => {
    assert.equal(String.fromCharCode(bytes[digitAt] ?? 0), '1');
    await decode(bytes);
    for (const digit of ['0', '2', '9']) {
      const other = Uint8Array.from(bytes);
      other[digitAt] = digit.charCodeAt(0);
      await assert.rejects(
        async () => decode(other),
        (error) => {
          assert.ok(error instanceof FormatError && error.fault.code === 'FORMAT_VERSION');
          const { place, version, reads } = error.fault;
          assert.deepEqual([place, version, reads], [PLACE, Number(digit), 1]);
          const says = `${PLACE}: ${what} of version ${digit}; this program reads version 1 (`;
          assert.ok(error.message.startsWith(says), error.message);
          assert.ok(error.message.includes(WHO[digit] ?? 'later release'), error.message);
          assert.match(error.message, /hastctl create --force/);
          return true;
        },
      );
    }
    const letter = Uint8Array.from(bytes);
    letter[digitAt] = 'x'.charCodeAt(0);
    await assert.rejects(async () => decode(letter), badBecause(/magic is not|not a header/));
  });
}

test('a version of resource.json has one way to be written', () => {
  const text = Buffer.from(encodeResourceState(freshState('vm1'))).toString();
  for (const version of ['01', '1e0', ' 1', '', '-1', '1000000']) {
    const bytes = Buffer.from(text.replace('resource 1', `resource ${version}`));
    assert.throws(() => decodeResourceState(bytes, PLACE), badBecause(/not a header/), version);
  }
  const bytes = Buffer.from(text.replace('resource 1', 'resource 12'));
  assert.throws(() => decodeResourceState(bytes, PLACE), /resource state of version 12;/);
});
