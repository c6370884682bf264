// hast-archive(5) is enough to read an archive: a reader written from the page (page-reader.ts)
// reads what the program has written, as it is and sealed, of many rounds and of a short last
// block.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { seededRandom } from '../../src/base/random.js';
import { CHUNK_BYTES } from '../../src/base/units.js';
import type { Secret } from '../../src/format/archive-identity.js';
import type { MemoryObjects } from '../store/memory-store.js';
import { PageReader } from './page-reader.js';
import { Sender } from './sender.js';

const SECRETS: readonly (Secret | null)[] = [
  null,
  { kind: 'key', bytes: seededRandom(2).bytes(32) },
  { kind: 'passphrase', text: 'ein langer Satz, größer als zwölf' },
];

for (const secret of SECRETS) {
  test(`a reader of the page reads every round, ${secret?.kind ?? 'open'}`, async () => {
    const random = seededRandom(20_261_122);
    const objects: MemoryObjects = new Map();
    const sender = new Sender(random, objects, secret, 300 * CHUNK_BYTES + 12_800);
    sender.disk.set(random.bytes(5 * CHUNK_BYTES), 2 * CHUNK_BYTES);
    sender.packBytes = 1024 * 1024;
    for (let round = 0; round < 8; round += 1) {
      sender.write();
      const { number } = await sender.round();
      const newest = new PageReader(objects, secret).newest();
      assert.equal(newest.number, number);
      assert.ok(equalBytes(newest.disk, sender.disk), `round ${number}`);
    }
  });
}
