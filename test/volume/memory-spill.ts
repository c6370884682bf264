// A spill in memory, for tests of the volume.
import { present } from '../../src/base/assert.js';
import type { Spill } from '../../src/volume/spill.js';

/** Records in memory; reading one that was never written is a mistake of the core. */
export function memorySpill(): Spill {
  const records = new Map<number, Uint8Array>();
  return {
    writeNow: (record, old) => void records.set(record, new Uint8Array(old)),
    readNow: (record, into) => into.set(present(records.get(record), 'the record was written')),
    empty: async () => records.clear(),
  };
}
