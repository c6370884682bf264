// A data thread of the stress test: writes numbered versions of its own blocks through a tracked
// disk, several in flight, until it is told to stop. Pairs of neighbouring blocks belong to one
// thread and lie on both sides of a chunk border, so that all threads write in all chunks.
import { parentPort, workerData } from 'node:worker_threads';
import { present } from '../../src/base/assert.js';
import { systemClock } from '../../src/base/clock.js';
import { nodeFiles } from '../../src/base/node-files.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import type { Device } from '../../src/disk/device.js';
import { openFileDevice } from '../../src/disk/file-device.js';
import { Core } from '../../src/volume/core.js';
import type { VolumeMemory } from '../../src/volume/memory.js';
import { fileSpill } from '../../src/volume/spill.js';
import { TrackedDisk } from '../../src/volume/tracked-disk.js';
import { atomicsWaiter } from '../../src/volume/waiter.js';
import { newWriteCounters } from '../../src/volume/write-sections.js';
import { BLOCKS, blockContent, type LogMemory, StressLog } from './stress-log.js';

export interface WriterData {
  readonly thread: number;
  readonly seed: number;
  readonly fd: number;
  readonly path: string;
  readonly spillPaths: readonly string[];
  readonly memory: VolumeMemory;
  readonly log: LogMemory;
}

const IN_FLIGHT_MAX = 8;
const PAIRS = BLOCKS / 2;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One read in four finds nothing in the cache, so that chunks are preserved on the pool too. */
function oftenCold(device: Device, random: Random): Device {
  const real = device.readCached.bind(device);
  device.readCached = (offset, into) => random.below(4) !== 0 && real(offset, into);
  return device;
}

async function run(data: WriterData): Promise<number> {
  const random = seededRandom(data.seed);
  const { memory, path, thread } = data;
  const options = { ownsFd: false };
  const device = openFileDevice(data.fd, path, 'file', memory.sizeBytes, options);
  const files = nodeFiles(() => {});
  const handles = await Promise.all(data.spillPaths.map((one) => files.open(one, 'write')));
  const disk = new TrackedDisk(new Core(memory, thread), {
    device: oftenCold(device, random),
    spills: handles.map(fileSpill),
    writeIntent: () => {},
    flushIntent: turn,
    nowMs: () => systemClock.monotonicMs(),
    counters: newWriteCounters(),
    repair: null,
    targets: [],
    waiter: atomicsWaiter(turn),
    onTrouble: () => {},
  });
  const log = new StressLog(data.log);
  const busy = new Set<number>();
  const alive = setInterval(() => {}, 1000);
  let writes = 0;
  while (!log.stopped) {
    const pair = 2 * random.below(PAIRS / 2) + thread;
    if (busy.has(pair) || busy.size >= IN_FLIGHT_MAX) {
      await turn();
      continue;
    }
    const blocks = [2 * pair - 1, 2 * pair].filter((block) => block >= 0).slice(random.below(2));
    const versions = blocks.map((block) => log.issue(block));
    if (versions.includes(null)) break;
    const done = (): void => {
      busy.delete(pair);
      blocks.forEach((block, at) => {
        log.answer(block, versions[at] ?? 0);
      });
    };
    const bytes = Buffer.concat(blocks.map((block, at) => blockContent(block, versions[at] ?? 0)));
    busy.add(pair);
    writes += 1;
    const writing = disk.write((blocks[0] ?? 0) * BLOCK_BYTES, bytes);
    if (writing === 'done') done();
    else void writing.then(done);
    if (random.below(16) === 0) await turn();
  }
  while (busy.size > 0) await turn();
  clearInterval(alive);
  await device.close();
  for (const handle of handles) await handle.close();
  return writes;
}

const port = present(parentPort, 'this runs in a worker');
port.postMessage(await run(workerData as WriterData));
