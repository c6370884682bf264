// What `hastctl serve` runs: opens a point of an archive and offers it over NBD until it is closed.
// No daemon, no configuration, nothing is left behind but the changes that were asked for.
// Guarantee: the archive is only read. Memory is bounded: connections by SERVE_LIMITS, content by
// PointDisk.
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Archive } from '../archive/archive.js';
import { readArchiveSecret } from '../archive/secret.js';
import { systemClock, within } from '../base/clock.js';
import type { Log } from '../base/log.js';
import { allEnded, deferred } from '../base/sync.js';
import { MIB } from '../base/units.js';
import type { Disk } from '../disk/disk.js';
import type { PointSpec } from '../lineage/point-spec.js';
import type { NbdAddress } from '../nbd/addresses.js';
import { LISTENER_LIMITS, TRANSMISSION_LIMITS } from '../nbd/limits.js';
import { type HandedConnection, listenNbd, type NbdListener } from '../nbd/listener.js';
import { type Connection, serveTransmission } from '../nbd/transmission.js';
import { ArchivePointReader } from '../restore/archive-point.js';
import { missing } from '../restore/archive-reader.js';
import { findPoint } from '../restore/archive-source.js';
import { FileChunks, usefulBytes } from '../restore/chunk-caches.js';
import { OverlayDisk } from '../restore/overlay-disk.js';
import { namelessFile, OverlayFile } from '../restore/overlay-file.js';
import { PointDisk } from '../restore/point-disk.js';
import { openStore } from '../store/open-store.js';
import type { ObjectStore } from '../store/store.js';

export interface ServeRequest {
  /** Of the archive, with the resource. */
  readonly url: string;
  readonly endpoint: string | null;
  readonly region: string | null;
  readonly checksums: 'supported' | 'required';
  readonly keyPath: string | null;
  readonly point: PointSpec;
  /** As it was written. */
  readonly pointText: string;
  /** Null: a socket in a folder of its own. */
  readonly address: NbdAddress | null;
  readonly writable: boolean;
  /** Where changes are kept; null: nowhere when it ends. */
  readonly overlayPath: string | null;
  /** Of a cache on disk, at most; null: none. */
  readonly cacheBytes: number | null;
}

export interface ServedPoint {
  readonly uri: string;
  /** Of the resource, as its archive has it. */
  readonly resource: string;
  readonly number: number;
  readonly timeMs: number;
  readonly sizeBytes: number;
  readonly readOnly: boolean;
  /** Resolves when the last client has gone; never before the first has come. */
  readonly left: Promise<void>;
  /** Ends all connections, and keeps the changes where they have a place. Can be called twice. */
  close(): Promise<void>;
}

/** What is held for one client is less than the daemon's. */
const SERVE_LIMITS = { ...TRANSMISSION_LIMITS, heldBytesMax: 4 * MIB, unsentBytesMax: 2 * MIB };
const CONNECTIONS_MAX = 16;
/** How long what is being read may take to end; then the store is closed under it. */
const END_MS_MAX = 2000;

/** What has been opened so far, in this order, and is closed the other way round. */
type Opened = (() => Promise<unknown>)[];

/** Errors of the store, ARCHIVE_MISSING, ARCHIVE_EMPTY, ARCHIVE_SEALED, ARCHIVE_NOT_SEALED,
 * ARCHIVE_WRONG_KEY, SECRET_…, POINT_UNKNOWN, FORMAT_BAD, OVERLAY_…, NBD_…. */
export async function servePoint(request: ServeRequest, log: Log): Promise<ServedPoint> {
  const opened: Opened = [];
  try {
    return await opening(request, log, opened);
  } catch (error) {
    await allEnded(opened.reverse()).catch(() => undefined);
    throw error;
  }
}

async function opening(request: ServeRequest, log: Log, opened: Opened): Promise<ServedPoint> {
  const { keyPath, point: spec, pointText } = request;
  const secret = keyPath === null ? null : await readArchiveSecret(keyPath);
  const store = await openStore({ ...request, below: null, pace: null }, systemClock);
  opened.push(() => store.close());
  const archive = await Archive.open(store, secret);
  if (archive === null) throw await missing(request.url);
  const point = await findPoint(archive, spec, pointText);
  const folder = process.env['TMPDIR'] ?? '/var/tmp';
  const file =
    request.cacheBytes === null
      ? null
      : new FileChunks(namelessFile(folder), usefulBytes(request.cacheBytes, point.sizeBytes), log);
  const below = new PointDisk({ reader: new ArchivePointReader(archive, point), file });
  opened.push(() => below.close());
  await below.open();
  let disk: Disk = below;
  if (request.writable) {
    const of = { resource: archive.identity.resource, point: point.to.id };
    const { sizeBytes } = point;
    const overlay =
      request.overlayPath === null
        ? OverlayFile.temporary(folder, sizeBytes)
        : await OverlayFile.named(request.overlayPath, { ...of, sizeBytes });
    opened.push(() => overlay.close());
    disk = new OverlayDisk(below, overlay);
  }
  const address = request.address ?? (await ownSocket(opened));
  const server = new PointServer(disk, store, log, opened);
  const uri = await server.listen(address);
  const { number, timeMs } = point.to;
  return {
    uri,
    resource: archive.identity.name,
    number,
    timeMs,
    sizeBytes: disk.sizeBytes,
    readOnly: disk.readOnly,
    left: server.left.promise,
    close: () => server.close(),
  };
}

async function ownSocket(opened: Opened): Promise<NbdAddress> {
  const folder = await mkdtemp(join(tmpdir(), 'hast-serve-'));
  opened.push(() => rmdir(folder));
  return { kind: 'unix', path: join(folder, 'nbd.sock') };
}

/** One disk, offered under the empty name. */
class PointServer {
  readonly left = deferred<void>();
  readonly #disk: Disk;
  readonly #store: ObjectStore;
  readonly #log: Log;
  readonly #opened: Opened;
  readonly #connections = new Set<Connection>();
  #listener: NbdListener | null = null;
  #closing: Promise<void> | null = null;

  constructor(disk: Disk, store: ObjectStore, log: Log, opened: Opened) {
    this.#disk = disk;
    this.#store = store;
    this.#log = log;
    this.#opened = opened;
  }

  /** The URI. Errors: ListenError. */
  async listen(address: NbdAddress): Promise<string> {
    const { sizeBytes, readOnly, contexts } = this.#disk;
    const limits = { ...LISTENER_LIMITS, connectionsMax: CONNECTIONS_MAX };
    const listener = await listenNbd(
      { address, limits },
      {
        exports: () => [{ name: '', sizeBytes, readOnly, contexts }],
        handOver: (connection) => this.#serve(connection),
        log: this.#log,
      },
    );
    this.#listener = listener;
    return uriOf(listener.address);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  #serve({ agreement, fd, leftover, done }: HandedConnection): void {
    const connection: Connection = serveTransmission({
      fd,
      leftover,
      agreement,
      disk: this.#disk,
      limits: SERVE_LIMITS,
      log: this.#log,
      onClose: () => {
        done();
        this.#connections.delete(connection);
        if (this.#connections.size === 0) this.left.resolve();
      },
    });
    this.#connections.add(connection);
  }

  async #end(): Promise<void> {
    await this.#listener?.close();
    const closing = Promise.all([...this.#connections].map((one) => one.close()));
    const ended = await within(systemClock, END_MS_MAX, closing);
    if (ended === 'timeout') await this.#store.close();
    await closing;
    await allEnded(this.#opened.reverse());
  }
}

function uriOf(address: NbdAddress): string {
  if (address.kind === 'unix') {
    const path = address.path.split('/').map(encodeURIComponent).join('/');
    return `nbd+unix:///?socket=${path}`;
  }
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${address.port}`;
}
