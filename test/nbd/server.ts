// A whole NBD server for tests: the listener and the transmission phase in one thread, over a unix
// socket in a folder of its own. Everything it starts ends with the test.
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Disk } from '../../src/disk/disk.js';
import { type Counters, newCounters } from '../../src/nbd/counters.js';
import { TRANSMISSION_LIMITS, type TransmissionLimits } from '../../src/nbd/limits.js';
import { listenNbd, type NbdListener } from '../../src/nbd/listener.js';
import {
  type CloseReason,
  type Connection,
  serveTransmission,
} from '../../src/nbd/transmission.js';
import { scratch } from '../real.js';

export interface TestServer {
  readonly path: string;
  readonly folder: string;
  readonly listener: NbdListener;
  readonly counters: Counters;
  readonly connections: Connection[];
  /** Why connections ended, in order. */
  readonly ends: CloseReason[];
  readonly warnings: string[];
  uri(name: string): string;
}

export async function startServer(
  t: TestContext,
  disks: Readonly<Record<string, Disk>>,
  limits: Partial<TransmissionLimits> = {},
): Promise<TestServer> {
  const folder = scratch(t);
  const path = join(folder, 'nbd.sock');
  const counters = newCounters();
  const connections: Connection[] = [];
  const ends: CloseReason[] = [];
  const warnings: string[] = [];
  const note = (sentence: string): void => void warnings.push(sentence);
  const log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const listener = await listenNbd(
    { address: { kind: 'unix', path } },
    {
      exports: () =>
        Object.entries(disks).map(([name, { sizeBytes, readOnly, contexts }]) => ({
          name,
          sizeBytes,
          readOnly,
          contexts,
        })),
      handOver: ({ exportName, agreement, fd, leftover, done }) => {
        const disk = disks[exportName];
        if (disk === undefined) return done();
        const onClose = (reason: CloseReason): void => {
          ends.push(reason);
          done();
        };
        const all = { ...TRANSMISSION_LIMITS, ...limits };
        connections.push(
          serveTransmission({ fd, leftover, agreement, disk, limits: all, counters, onClose, log }),
        );
      },
      log,
    },
  );
  t.after(async () => {
    await listener.close();
    await Promise.all(connections.map((one) => one.close()));
  });
  const uri = (name: string): string => `nbd+unix:///${name}?socket=${path}`;
  return { path, folder, listener, counters, connections, ends, warnings, uri };
}

/** Waits until `holds`, for some seconds at most. */
export async function eventually(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 1000; tries += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new RangeError(`not within five seconds: ${what}`);
}
