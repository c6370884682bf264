// What stands behind the @, and where that begins.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitAtPoint } from '../../src/lineage/point-spec.js';

test('the last @ begins the point, but in a directory of a path it begins nothing', () => {
  for (const [text, what, point] of [
    ['vm1@42', 'vm1', '42'],
    ['vm1', 'vm1', null],
    ['s3://bucket/hast/vm1@latest', 's3://bucket/hast/vm1', 'latest'],
    ['file:///mnt/usb@a/vm1', 'file:///mnt/usb@a/vm1', null],
    ['file:///mnt/usb@a/vm1@7', 'file:///mnt/usb@a/vm1', '7'],
    ['vm1@', 'vm1', ''],
  ] as const) {
    assert.deepEqual(splitAtPoint(text), { what, point }, text);
  }
});
