// Points of secondaries that are being read, on the round thread: opened by name for control, read
// in steps that control asks for one after the other, or served to NBD clients as a read-only disk.
// Nobody waits for it: a step is a few chunks, then this thread does what else there is to do. What
// is open ends with the role; `ended` tells. At most POINTS_OPEN_MAX together (W5), and of one
// replica READERS_MAX (history/chain-readers.ts).
import { mapAhead } from '../base/ahead.js';
import { present } from '../base/assert.js';
import { nextTurn } from '../base/clock.js';
import { codeOf, describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { CHUNK_BYTES, chunkCount, chunkLength } from '../base/units.js';
import { ControlError } from '../control/api.js';
import { CHUNKS_CARRIED_MAX, CHUNKS_TOLD_MAX } from '../control/event-stream.js';
import { differences, type Range } from '../history/point-diff.js';
import type { ReplicaPoint } from '../history/point-reader.js';
import type { Agreement } from '../nbd/protocol.js';
import { type Connection, serveTransmission } from '../nbd/transmission.js';
import { ChunkDisk } from '../restore/chunk-disk.js';
import { chunksOf } from '../restore/chunk-source.js';
import { DaemonError } from './daemon-faults.js';
import { pointRecord } from './point-record.js';
import { entryOf, specOf } from './replica-points.js';
import type { Replication } from './replication.js';
import type { BadChunk, ChunkGroup, OpenedPoint, PointCalls } from './thread-messages.js';

/** On this node, of all resources. */
const POINTS_OPEN_MAX = 32;
/** Chunks verified in one step. */
const CHECK_STEP_CHUNKS = 64;
const CHUNKS_AHEAD = 4;

interface Open {
  readonly reader: ReplicaPoint;
  readonly disk: ChunkDisk;
  readonly connections: Map<number, Connection>;
  readonly ranges: AsyncGenerator<readonly Range[]> | null;
  readonly log: Log;
}

export class PastPoints implements PointCalls {
  readonly #rounds: () => Pick<Replication, 'node'>;
  readonly #log: Log;
  /** Told of an NBD connection that has ended. */
  readonly #guestGone: (connection: number) => void;
  readonly #open = new Map<number, Open>();
  #last = 0;

  constructor(
    rounds: () => Pick<Replication, 'node'>,
    log: Log,
    guestGone: (connection: number) => void,
  ) {
    this.#rounds = rounds;
    this.#log = log;
    this.#guestGone = guestGone;
  }

  async openPoint(name: string, point: string, from: string | null): Promise<OpenedPoint> {
    const specs = { point: specOf(point), from: from === null ? null : specOf(from) };
    const { role } = this.#rounds().node(name);
    if (role.kind !== 'secondary') {
      const wanted = 'the secondary role (a primary keeps no older points)';
      throw new ControlError({ code: 'CONTROL_WRONG_ROLE', name, role: role.kind, wanted });
    }
    if (this.#open.size >= POINTS_OPEN_MAX) {
      throw new DaemonError({ code: 'POINTS_OPEN', pointsMax: POINTS_OPEN_MAX });
    }
    const { replica } = role.resource.parts;
    const { chain } = replica.record;
    const found = entryOf(name, chain, specs.point, point);
    const other = specs.from === null ? null : entryOf(name, chain, specs.from, from ?? '');
    // What differs is told from the older of the two, whichever was named first.
    const turned = other !== null && chain.indexOf(other) < chain.indexOf(found);
    const [read, newer] = turned ? [other, found] : [found, other];
    const reader = replica.readers.open(read);
    this.#last += 1;
    const id = this.#last;
    const log = this.#log.child({ resource: name, point: read.point.number });
    const ranges =
      newer === null
        ? null
        : differences(reader, chain.indexOf(newer) - chain.indexOf(read), newer.sizeBytes);
    const open: Open = { reader, disk: new ChunkDisk(reader), connections: new Map(), ranges, log };
    this.#open.set(id, open);
    log.info('a point is being read', { reader: id });
    void reader.ended.then(() => endConnections(open));
    return {
      id,
      point: pointRecord(found),
      from: other === null ? null : pointRecord(other),
      sizeBytes: reader.sizeBytes,
      chunks: chunkCount(reader.sizeBytes),
    };
  }

  async pointChunks(id: number, first: number): Promise<ChunkGroup> {
    const { reader } = this.#find(id);
    const end = Math.min(first + CHUNKS_TOLD_MAX, chunkCount(reader.sizeBytes));
    const carried: number[] = [];
    const pieces: Uint8Array[] = [];
    let next = first;
    while (next < end && pieces.length === 0) {
      const to = Math.min(end, next + CHUNKS_CARRIED_MAX);
      for await (const { chunk, bytes } of chunksOf(reader, next, to)) {
        if (bytes === null) continue;
        carried.push(chunk);
        pieces.push(bytes);
      }
      next = to;
      await nextTurn();
    }
    return { first, count: next - first, carried, bytes: Buffer.concat(pieces) };
  }

  async checkPoint(id: number, first: number) {
    const { reader } = this.#find(id);
    const totalChunks = chunkCount(reader.sizeBytes);
    const end = Math.min(first + CHECK_STEP_CHUNKS, totalChunks);
    const bad: BadChunk[] = [];
    const numbers = Array.from({ length: end - first }, (_, at) => first + at);
    const look = (chunk: number) =>
      reader.chunk(chunk).then(
        () => ({ chunk, error: null }),
        (error: unknown) => ({ chunk, error }),
      );
    for await (const { chunk, error } of mapAhead(numbers, CHUNKS_AHEAD, look)) {
      if (error === null) continue;
      const code = codeOf(error);
      // Those that follow are looked at too, but for an end of the reading or our own mistake.
      if (code === null || code === 'POINT_CLOSED') throw error;
      const place = { offset: chunk * CHUNK_BYTES, length: chunkLength(chunk, reader.sizeBytes) };
      bad.push({ ...place, code, text: describeError(error) });
    }
    return { chunks: end, totalChunks, bad };
  }

  async pointRanges(id: number): Promise<readonly Range[] | null> {
    const { ranges } = this.#find(id);
    for (;;) {
      const next = await ranges?.next();
      if (next === undefined || next.done === true) return null;
      if (next.value.length > 0) return next.value;
      await nextTurn();
    }
  }

  async connectPoint(
    id: number,
    connection: number,
    fd: number,
    leftover: Uint8Array,
    agreement: Agreement,
  ): Promise<void> {
    const { disk, connections, log } = this.#find(id);
    const served = serveTransmission({
      fd,
      leftover,
      agreement,
      disk,
      log,
      onClose: (reason) => {
        connections.delete(connection);
        log.info('NBD client gone', { reason });
        this.#guestGone(connection);
      },
    });
    connections.set(connection, served);
  }

  async pointEnded(id: number): Promise<void> {
    await this.#find(id).reader.ended;
  }

  async closePoint(id: number): Promise<void> {
    const open = this.#find(id);
    this.#open.delete(id);
    await endConnections(open);
    await open.reader.close();
    open.log.info('a point is not read any more', { reader: id });
  }

  #find(id: number): Open {
    return present(this.#open.get(id), 'control closes a point last');
  }
}

async function endConnections({ connections }: Open): Promise<void> {
  await Promise.all([...connections.values()].map((connection) => connection.close()));
}
