// A restore onto the path that a person wrote, of a point of an archive or of a replica: the
// destination is opened, filled by who reads the point, and no unfinished restore any more when all
// of it is there. However it ends, the destination is let go.
import type { Files } from '../base/files.js';
import type { Device } from '../disk/device.js';
import { type Destination, type Ordered, openDestination, type WantedMark } from './destination.js';
import type { RestoreCounts, RestoreOptions } from './to-disk.js';

export interface RestoreOrder extends Ordered {
  readonly path: string;
  readonly signal: AbortSignal;
  /** The destination is open, and from now on unfinished. */
  readonly onBegin: (begun: RestoreBegun) => void;
  readonly onProgress: (counts: Readonly<RestoreCounts>) => void;
}

export type RestoreBegun = Pick<Destination, 'how' | 'kind' | 'behindBytes'>;

/** Writes a whole disk; all is on the medium when it resolves. */
export type Fill = (device: Device, options: RestoreOptions) => Promise<RestoreCounts>;

/** Errors of `openDestination` and of `fill`; the reason of the signal. */
export async function restoreOnto(
  files: Files,
  mark: WantedMark,
  { path, signal, onBegin, onProgress, ...ordered }: RestoreOrder,
  fill: Fill,
): Promise<RestoreCounts> {
  const destination = await openDestination(files, path, mark, ordered);
  const { device, how, kind, behindBytes } = destination;
  try {
    onBegin({ how, kind, behindBytes });
    const target = how === 'make' ? 'fresh' : 'compare';
    const counts = await fill(device, { target, signal, onProgress });
    await destination.finish();
    return counts;
  } finally {
    await destination.close();
  }
}
