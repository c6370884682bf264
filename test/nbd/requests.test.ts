// Request headers, what is refused with which error, and how the disk's errors are named.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../src/base/assert.js';
import { DiskError } from '../../src/disk/device.js';
import { type Agreement, SIMPLE_AGREEMENT } from '../../src/nbd/protocol.js';
import { decodeRequest, nbdErrorOf, placeOf, Request, refusalOf } from '../../src/nbd/requests.js';
import { CMD, DF, FAST_ZERO, FUA, NO_HOLE, REQ_ONE, request } from './client.js';

const MIB = 1024 * 1024;
const SIZE = 100 * MIB;
const [OK, EPERM, EIO, ENOMEM, EINVAL, ENOSPC, ESHUTDOWN] = [0, 1, 5, 12, 22, 28, 108];

function decoded(bytes: Buffer): Request {
  const into = new Request();
  assert.ok(decodeRequest(bytes, 0, into));
  return into;
}

test('decodes every field, also from the middle of a buffer', () => {
  const fields = {
    type: 6,
    flags: 3,
    cookie: 0xfedcba9876543210n,
    offset: 2 ** 45 + 5,
    length: 77,
  };
  const into = new Request();
  const bytes = Buffer.concat([Buffer.alloc(3), request(fields), Buffer.alloc(3)]);
  assert.ok(decodeRequest(bytes, 3, into));
  assert.equal(into.type, 6);
  assert.equal(into.flags, 3);
  assert.equal(into.cookieHigh, 0xfedcba98);
  assert.equal(into.cookieLow, 0x76543210);
  assert.equal(into.offset, 2 ** 45 + 5);
  assert.equal(into.length, 77);
  assert.ok(into.fua);
});

test('a wrong magic is told', () => {
  for (const magic of [0, 0x25609514, 0x12560953, 0x67446698]) {
    assert.equal(decodeRequest(request({ type: 0, magic }), 0, new Request()), false);
  }
});

const refusals: [title: string, fields: Parameters<typeof request>[0], writable: number][] = [
  ['a read', { type: CMD.READ, offset: 0, length: 4096 }, OK],
  ['a read of nothing', { type: CMD.READ, offset: SIZE, length: 0 }, OK],
  ['a read to the end', { type: CMD.READ, offset: SIZE - 1, length: 1 }, OK],
  ['a read beyond the end', { type: CMD.READ, offset: SIZE - 1, length: 2 }, EINVAL],
  ['a read at the highest offset', { type: CMD.READ, offset: 2n ** 64n - 1n, length: 1 }, EINVAL],
  ['a read at 2^63', { type: CMD.READ, offset: 2n ** 63n, length: 0 }, EINVAL],
  ['a read of 32 MiB', { type: CMD.READ, length: 32 * MIB }, OK],
  ['a read of more', { type: CMD.READ, length: 32 * MIB + 1 }, EINVAL],
  ['a read with FUA, which some clients set', { type: CMD.READ, flags: FUA, length: 1 }, OK],
  ['a read with DF, which was not offered', { type: CMD.READ, flags: 4, length: 1 }, EINVAL],
  ['a write with FUA', { type: CMD.WRITE, flags: FUA, length: 1 }, OK],
  ['a write beyond the end', { type: CMD.WRITE, offset: SIZE - 511, length: 512 }, ENOSPC],
  ['a write of more than 32 MiB', { type: CMD.WRITE, length: 32 * MIB + 1 }, EINVAL],
  ['a write with NO_HOLE', { type: CMD.WRITE, flags: NO_HOLE, length: 1 }, EINVAL],
  ['zeroes', { type: CMD.WRITE_ZEROES, flags: FUA | NO_HOLE, length: SIZE }, OK],
  ['zeroes beyond the end', { type: CMD.WRITE_ZEROES, offset: 1, length: SIZE }, ENOSPC],
  ['fast zeroes', { type: CMD.WRITE_ZEROES, flags: FAST_ZERO | NO_HOLE, length: SIZE }, OK],
  ['a trim', { type: CMD.TRIM, length: SIZE }, OK],
  ['a trim beyond the end', { type: CMD.TRIM, offset: 1, length: SIZE }, EINVAL],
  ['a flush', { type: CMD.FLUSH }, OK],
  ['a flush with FUA', { type: CMD.FLUSH, flags: FUA }, OK],
  ['a flush of a range', { type: CMD.FLUSH, offset: 4096 }, EINVAL],
  ['a cache', { type: CMD.CACHE, offset: SIZE - 1, length: 1 }, OK],
  ['a cache beyond the end', { type: CMD.CACHE, offset: SIZE - 1, length: 2 }, EINVAL],
  ['a cache of more than 32 MiB', { type: CMD.CACHE, length: 32 * MIB + 1 }, EINVAL],
  ['a cache with a flag', { type: CMD.CACHE, flags: 32, length: 1 }, EINVAL],
  ['a status without a context', { type: CMD.BLOCK_STATUS, length: 1 }, EINVAL],
  ['an unknown command', { type: 0xffff }, EINVAL],
];

for (const [title, fields, expected] of refusals) {
  test(`${title}: ${expected}`, () => {
    assert.equal(refusalOf(decoded(request(fields)), SIZE, false, SIMPLE_AGREEMENT), expected);
  });
}

const STRUCTURED: Agreement = { structured: true, contexts: [] };
const MAPPED: Agreement = { structured: true, contexts: [{ id: 1, name: 'base:allocation' }] };
const agreed: [title: string, Agreement, Parameters<typeof request>[0], number][] = [
  ['a read with DF', STRUCTURED, { type: CMD.READ, flags: DF | FUA, length: 1 }, OK],
  ['a write with DF', STRUCTURED, { type: CMD.WRITE, flags: DF, length: 1 }, EINVAL],
  ['a status', MAPPED, { type: CMD.BLOCK_STATUS, offset: 1, length: SIZE - 1 }, OK],
  ['a status with REQ_ONE', MAPPED, { type: CMD.BLOCK_STATUS, flags: REQ_ONE, length: 1 }, OK],
  ['a status with DF', MAPPED, { type: CMD.BLOCK_STATUS, flags: DF, length: 1 }, EINVAL],
  ['a status of nothing', MAPPED, { type: CMD.BLOCK_STATUS, length: 0 }, EINVAL],
  ['a status beyond', MAPPED, { type: CMD.BLOCK_STATUS, offset: 1, length: SIZE }, EINVAL],
  ['structured, no context', STRUCTURED, { type: CMD.BLOCK_STATUS, length: 1 }, EINVAL],
  ['a read with REQ_ONE', MAPPED, { type: CMD.READ, flags: REQ_ONE, length: 1 }, EINVAL],
];

for (const [title, agreement, fields, expected] of agreed) {
  test(`${title}: ${expected}`, () => {
    assert.equal(refusalOf(decoded(request(fields)), SIZE, false, agreement), expected);
  });
}

test('the place of a failure, where the disk names one in the request', () => {
  const at = (offset: number): Error =>
    new DiskError({ code: 'DISK_FAILED', operation: 'read', path: 'd', offset, errno: 'EIO' });
  assert.equal(placeOf(at(4096), 0, 8192), 4096);
  assert.equal(placeOf(at(8192), 0, 8192), null);
  assert.equal(placeOf(at(0), 4096, 4096), null);
  assert.equal(placeOf(new Error('no place'), 0, 8192), null);
});

test('a read-only disk refuses what writes with EPERM, and only that', () => {
  for (const type of [CMD.WRITE, CMD.TRIM, CMD.WRITE_ZEROES]) {
    assert.equal(
      refusalOf(decoded(request({ type, length: 512 })), SIZE, true, SIMPLE_AGREEMENT),
      EPERM,
    );
    assert.equal(
      refusalOf(
        decoded(request({ type, offset: SIZE, length: 512 })),
        SIZE,
        true,
        SIMPLE_AGREEMENT,
      ),
      EPERM,
    );
  }
  assert.equal(
    refusalOf(decoded(request({ type: CMD.READ, length: 512 })), SIZE, true, SIMPLE_AGREEMENT),
    OK,
  );
  assert.equal(refusalOf(decoded(request({ type: CMD.FLUSH })), SIZE, true, SIMPLE_AGREEMENT), OK);
});

const failure = (errno: string): Error =>
  new DiskError({ code: 'DISK_FAILED', operation: 'write', path: 'd', offset: 0, errno });

test("the disk's errors become NBD's", () => {
  const table: [unknown, number][] = [
    [failure('EIO'), EIO],
    [failure('ENOSPC'), ENOSPC],
    [failure('EDQUOT'), ENOSPC],
    [failure('EFBIG'), ENOSPC],
    [failure('EROFS'), EPERM],
    [failure('EINVAL'), EINVAL],
    [failure('ENXIO'), EIO],
    [new DiskError({ code: 'DISK_SUSPECT', path: 'd', reason: 'a flush failed' }), EIO],
    [Object.assign(new Error('system'), { code: 'ENOMEM' }), ENOMEM],
    [Object.assign(new Error('system'), { code: 'ESHUTDOWN' }), ESHUTDOWN],
    [new Error('unnamed'), EIO],
    ['not even an error', EIO],
  ];
  for (const [error, expected] of table) assert.equal(nbdErrorOf(error), expected);
});

test('a broken assertion is not made into an error of the guest', () => {
  assert.throws(() => nbdErrorOf(new AssertionError('ours')), AssertionError);
});
