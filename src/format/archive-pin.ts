// A pin: an object that says that a point of an archive stays, and how it is called. Two objects
// of the same bytes, `names/NAME`, by which a reader finds the point, and `pins/EPOCH/SEQUENCE`,
// for which a prune looks before it removes one. Not sealed: a name is no content.
//   0 magic 8 | 8 epoch 4 | 12 sequence 4 | 16 number 8 | 24 time of the point 8 | 32 bytes of the
//   name 1 | 33 name | check 8
import { assert } from '../base/assert.js';
import { CHECK_BYTES } from '../base/digest.js';
import type { KeptPoint } from './archive-objects.js';
import {
  dataView,
  expect,
  expectCheck,
  expectMagic,
  putCheck,
  putMagic,
  putU64,
  takeTime,
  takeU64,
} from './layout.js';

export const PIN_BYTES_MAX = 256;
const HEADER_BYTES = 33;
const MAGIC = 'HASTPIN0';
/** As a key of a store takes it (lineage/point-spec.ts says what else a name is not). */
const NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

export interface Pin {
  readonly name: string;
  readonly point: KeptPoint;
}

export const nameKey = (name: string): string => `names/${name}`;
export const NAMES_PREFIX = 'names/';

export function encodePin({ name, point }: Pin): Uint8Array {
  assert(NAME.test(name), 'a name was checked');
  const bytes = new Uint8Array(HEADER_BYTES + name.length + CHECK_BYTES);
  const view = dataView(bytes);
  putMagic(bytes, MAGIC);
  view.setUint32(8, point.place.epoch);
  view.setUint32(12, point.place.sequence);
  putU64(view, 16, point.number);
  putU64(view, 24, point.timeMs);
  bytes[32] = name.length;
  bytes.set(Buffer.from(name, 'latin1'), HEADER_BYTES);
  putCheck(bytes, bytes.length - CHECK_BYTES);
  return bytes;
}

/** Errors FORMAT_BAD with `place`, FORMAT_VERSION. */
export function decodePin(bytes: Uint8Array, place: string): Pin {
  const where = { what: 'pin of an archive', place };
  expectMagic(bytes, MAGIC, where);
  expect(bytes.length >= HEADER_BYTES + CHECK_BYTES, where, 'cut short');
  const view = dataView(bytes);
  const wanted = HEADER_BYTES + view.getUint8(32) + CHECK_BYTES;
  expect(bytes.length === wanted, where, `${bytes.length} bytes, it tells of ${wanted}`);
  expectCheck(bytes, bytes.length - CHECK_BYTES, where);
  const name = Buffer.from(bytes.subarray(HEADER_BYTES, -CHECK_BYTES)).toString('latin1');
  expect(NAME.test(name), where, 'it has no name');
  const point = {
    place: { epoch: view.getUint32(8), sequence: view.getUint32(12) },
    number: takeU64(view, 16, where),
    timeMs: takeTime(view, 24, where),
  };
  expect(point.place.epoch > 0 && point.place.sequence > 0, where, 'a point that stands nowhere');
  return { name, point };
}
