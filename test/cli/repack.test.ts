// What `hastctl repack` prints, and which shares it takes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderRepacked } from '../../src/cli/repack-command.js';
import { REPACKED } from '../control/repacked.js';

const [ARCHIVE = assert.fail('there is one')] = REPACKED.archives;

test('a dry run says what a round would send, and what goes for it and when', () => {
  assert.equal(
    renderRepacked('vm1', REPACKED),
    [
      'vm1 offsite: would leave 12 packs, 384 MiB, of which kept points need about 96.0 MiB',
      '  a round would send about 160 MiB of the disk, before compression, with about ' +
        '8 PUT requests',
      '  they go with the last of 3 points that need them: vm1@12 2026-10-01T02:00:00Z to ' +
        'vm1@42 2026-11-20T02:00:00Z',
      "  left out: 1 pack, 32.0 MiB that are paid for until their class's minimum of days is over",
      '',
    ].join('\n'),
  );
});

test('of one point its name stands once; nothing to do is said', () => {
  const one = { ...ARCHIVE, dryRun: false, packs: 1, puts: 1, heldPacks: 0 };
  const none = { ...ARCHIVE, target: 'usb', packs: 0, heldPacks: 0, holders: [] };
  const holders = ARCHIVE.holders.slice(0, 1);
  assert.equal(
    renderRepacked('vm1', { archives: [{ ...one, holders }, none] }),
    [
      'vm1 offsite: leaves 1 pack, 384 MiB, of which kept points need about 96.0 MiB',
      '  a round sends about 160 MiB of the disk, before compression, with about 1 PUT request',
      '  they go with the last of 1 point that needs them: vm1@42 2026-11-20T02:00:00Z',
      'vm1 usb: no pack is dead enough, nothing to do',
      '',
    ].join('\n'),
  );
});
