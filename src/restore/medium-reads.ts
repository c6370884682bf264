// What a destination has, read to be compared: from the medium, past the page cache. After a failed
// flush Linux calls the pages clean (H18): they look written until they go, and a restore that
// believed them would end well without them. Offsets and lengths are bytes.
import type { Device } from '../disk/device.js';

/** Before the first look: who reads the disk afterwards must not find in the page cache either what
 * the medium has not. */
export async function dropStale(device: Device): Promise<void> {
  // What fails here was written before us; what became of it is seen by reading.
  await device.sync().catch(() => undefined);
  device.dropCached(0, device.sizeBytes);
}

/** False: it cannot be read, and is nothing; writing it mends most media. */
export const canRead = (device: Device, offset: number, into: Uint8Array): Promise<boolean> =>
  device.readMedium(offset, into).then(
    () => true,
    () => false,
  );
