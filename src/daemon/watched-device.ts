// A device whose operations on the thread pool are watched (H19): a thread whose loop runs while
// its reads or flushes never return is as stuck as one that hangs in a write. `answers` resolves at
// once while nothing is overdue, else with the overdue operation: the ping of hang-watch.ts waits
// for it. A flush may have gigabytes to write and has more time. Milliseconds.
import type { Clock } from '../base/clock.js';
import type { Device } from '../disk/device.js';

export const READ_OVERDUE_MS = 5000;
export const FLUSH_OVERDUE_MS = 60_000;

export interface WatchedDevice {
  readonly device: Device;
  answers(): Promise<void>;
}

interface Operation {
  readonly overdueAtMs: number;
  readonly ended: Promise<void>;
}

export function watchDevice(inner: Device, clock: Clock): WatchedDevice {
  const open = new Set<Operation>();
  const watched = (work: Promise<void>, allowedMs: number): Promise<void> => {
    const done = (): void => void open.delete(operation);
    const ended = work.then(done, done);
    const operation = { overdueAtMs: clock.monotonicMs() + allowedMs, ended };
    open.add(operation);
    return work;
  };
  const device: Device = {
    path: inner.path,
    sizeBytes: inner.sizeBytes,
    readCached: (offset, into) => inner.readCached(offset, into),
    read: (offset, into) => watched(inner.read(offset, into), READ_OVERDUE_MS),
    readAside: (offset, into) => watched(inner.readAside(offset, into), READ_OVERDUE_MS),
    readMedium: (offset, into) => watched(inner.readMedium(offset, into), READ_OVERDUE_MS),
    writeNow: (offset, bytes) => inner.writeNow(offset, bytes),
    write: (offset, bytes) => watched(inner.write(offset, bytes), FLUSH_OVERDUE_MS),
    reserved: (work) =>
      inner.reserved((write) =>
        work((offset, bytes) => watched(write(offset, bytes), FLUSH_OVERDUE_MS)),
      ),
    zeroNow: (offset, length, mayPunch) => inner.zeroNow(offset, length, mayPunch),
    punchNow: (offset, length) => inner.punchNow(offset, length),
    nextData: (from) => inner.nextData(from),
    nextHole: (from) => inner.nextHole(from),
    prefetch: (offset, length) => inner.prefetch(offset, length),
    dropCached: (offset, length) => inner.dropCached(offset, length),
    sync: () => watched(inner.sync(), FLUSH_OVERDUE_MS),
    close: () => inner.close(),
  };
  const answers = async (): Promise<void> => {
    const nowMs = clock.monotonicMs();
    for (const { overdueAtMs, ended } of open) if (overdueAtMs <= nowMs) await ended;
  };
  return { device, answers };
}
