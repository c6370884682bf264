// The size in a BEGIN is one that a disk can have, or the message breaks the protocol (H14).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DISK_BYTES_MAX } from '../../src/base/units.js';
import type { Of } from '../../src/peer/messages.js';
import { EPOCH, idOf, pointOf } from './material.js';
import { encoded, plain, protocolError, readAll } from './wire.js';

const saying = (sizeBytes: number): Of<'begin'> => ({
  type: 'begin',
  begin: {
    kind: 'round',
    resource: idOf(1),
    round: idOf(2),
    epoch: EPOCH,
    from: pointOf(3),
    to: pointOf(4),
    sizeBytes,
    spaceBytes: 100,
    resumeAt: 0,
    fill: null,
    again: false,
  },
});

test('a BEGIN with the size of a disk is taken', async () => {
  for (const sizeBytes of [512, 65_536, 10 * 2 ** 30 + 512, DISK_BYTES_MAX]) {
    const message = saying(sizeBytes);
    assert.deepEqual(plain(await readAll(encoded(message))), plain([{ request: 0, message }]));
  }
});

test('a BEGIN with another one is not', async () => {
  for (const [sizeBytes, what] of [
    [0, /size is 0 bytes, which no disk has/],
    [511, /size is 511 bytes, which no disk has/],
    [DISK_BYTES_MAX - 1, /which no disk has/],
    [DISK_BYTES_MAX + 512, /more than any disk/],
    [Number.MAX_SAFE_INTEGER, /more than any disk/],
  ] as const) {
    await assert.rejects(readAll(encoded(saying(sizeBytes))), protocolError(what));
  }
});
