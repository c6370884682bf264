// Which errors mean that a state file is bad: the content or the medium, never the machine or the
// program; and that the disk and the state files are held to one list of errnos.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionError } from '../../src/base/assert.js';
import { FilesError } from '../../src/base/files.js';
import { DiskError } from '../../src/disk/device.js';
import { FormatError } from '../../src/format/changeset.js';
import { isUnreadable, MEDIUM_ERRNOS } from '../../src/format/unreadable.js';
import { isMediumError } from '../../src/volume/repair.js';

const path = '/state/x';
const file = (operation: string, errno: string) =>
  new FilesError({ code: 'FILE_FAILED', operation, path, errno });
const OTHERS = ['ENOENT', 'EACCES', 'EMFILE', 'ENOMEM', 'ENOSPC', 'ENXIO', 'EBADF', 'ESTALE'];

test('damaged content is unreadable', () => {
  const where = { what: 'changeset', place: path };
  assert.ok(isUnreadable(new FormatError({ code: 'FORMAT_BAD', ...where, why: 'cut short' })));
  assert.ok(
    isUnreadable(new FormatError({ code: 'FORMAT_VERSION', ...where, version: 7, reads: 1 })),
  );
});

test('so is what the medium cannot give, whichever look at it fails', () => {
  for (const errno of MEDIUM_ERRNOS) {
    for (const look of ['open', 'fstat', 'read']) assert.ok(isUnreadable(file(look, errno)), errno);
  }
});

test('nothing else is', () => {
  for (const errno of OTHERS) assert.equal(isUnreadable(file('read', errno)), false, errno);
  for (const change of ['write', 'fdatasync', 'truncate', 'rename of /state/y', 'unlink']) {
    assert.equal(isUnreadable(file(change, 'EIO')), false, change);
  }
  const disk = { operation: 'read', path, offset: 0, errno: 'EIO' };
  for (const error of [
    new AssertionError('assertion failed'),
    new Error('EIO'),
    Object.assign(new Error('read'), { code: 'EIO' }),
    new FilesError({ code: 'FILE_SHORT', path, offset: 0, wanted: 8, got: 4 }),
    new FilesError({ code: 'FILE_TOO_LARGE', path, bytes: 9, bytesMax: 8 }),
    new DiskError({ code: 'DISK_FAILED', ...disk }),
    null,
  ]) {
    assert.equal(isUnreadable(error), false, String(error));
  }
});

test('the errnos are those of a disk that is repaired (H20)', () => {
  for (const errno of [...MEDIUM_ERRNOS, ...OTHERS]) {
    const disk = { operation: 'read', path, offset: 0, errno };
    const ofDisk = isMediumError(new DiskError({ code: 'DISK_FAILED', ...disk }));
    assert.equal(isUnreadable(file('read', errno)), ofDisk, errno);
  }
});
