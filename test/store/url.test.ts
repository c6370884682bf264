// Urls of archives: what is read, and what is refused with a reason.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { isKey } from '../../src/store/store.js';
import { storeUrl } from '../../src/store/url.js';

test('buckets, prefixes and directories', () => {
  const s3 = (bucket: string, prefix: string, url: string) => ({ kind: 's3', url, bucket, prefix });
  assert.deepEqual(storeUrl('s3://my.bucket-1'), s3('my.bucket-1', '', 's3://my.bucket-1'));
  assert.deepEqual(storeUrl('s3://abc/'), s3('abc', '', 's3://abc'));
  assert.deepEqual(storeUrl('s3://abc/x/y/'), s3('abc', 'x/y', 's3://abc/x/y'));
  const directory = (path: string) => ({ kind: 'directory', url: `file://${path}`, path });
  assert.deepEqual(storeUrl('file:///mnt/usb/'), directory('/mnt/usb'));
  assert.deepEqual(storeUrl('file:////mnt//usb x'), directory('/mnt/usb x'));
});

test('what is no url of an archive is refused', () => {
  const bad = [
    '',
    'abc',
    '/mnt/usb',
    'S3://abc',
    's3://',
    's3://a',
    's3://A_B',
    's3://key:secret@bucket',
  ];
  bad.push('s3://abc/x?y', 's3://abc/../x', 's3://abc/x//y', 'file://mnt/usb', 'file:///a/../b');
  bad.push('https://abc/x', 's3://abc/.x', 'file:///a\0b');
  for (const text of bad) {
    assert.throws(
      () => storeUrl(text),
      (error) => codeOf(error) === 'STORE_URL',
      text,
    );
  }
});

test('keys', () => {
  for (const key of ['a', 'points/01/0042', 'packs/ab/cd.x_y-z']) assert.ok(isKey(key), key);
  for (const key of ['', '/a', 'a/', 'a//b', '.a', 'a/.b', 'a b', 'a\n', 'ä', 'x'.repeat(513)]) {
    assert.ok(!isKey(key), key);
  }
});
