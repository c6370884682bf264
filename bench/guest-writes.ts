// The guest of the benchmarks: writes through NBD with several requests in flight, ends with FLUSH.
import { NbdClient } from './nbd-client.js';

/** One write of a guest. */
export interface GuestWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Writes all to export `name` of the unix socket, at most `depth` unanswered; returns seconds. */
export async function writeAsGuest(
  socketPath: string,
  name: string,
  writes: readonly GuestWrite[],
  depth: number,
): Promise<number> {
  const client = await NbdClient.open(socketPath, name);
  try {
    const began = performance.now();
    let next = 0;
    const oneAfterAnother = async (): Promise<void> => {
      for (let write = writes[next++]; write !== undefined; write = writes[next++]) {
        await client.write(write.offset, write.bytes);
      }
    };
    await Promise.all(Array.from({ length: depth }, oneAfterAnother));
    await client.flush();
    return (performance.now() - began) / 1000;
  } finally {
    await client.close();
  }
}
