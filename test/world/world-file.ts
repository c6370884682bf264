// A file of the crash world, open. Every change goes to the latest content at once and is un-synced
// until `sync`; each is a step at which the world may stop. Offsets and lengths are bytes; failures
// are FilesError, as from the real files.
import { assert } from '../../src/base/assert.js';
import { type FileHandle, FilesError } from '../../src/base/files.js';
import type { CrashWorld } from './memory-files.js';
import type { FileNode } from './nodes.js';
import { failed, type Operation } from './story.js';

export class WorldFile implements FileHandle {
  readonly path: string;
  readonly #world: CrashWorld;
  readonly #file: FileNode;
  readonly #writable: boolean;
  #open = true;

  constructor(world: CrashWorld, path: string, file: FileNode, writable: boolean) {
    this.path = path;
    this.#world = world;
    this.#file = file;
    this.#writable = writable;
  }

  size(): Promise<number> {
    return this.#world.soon(() => {
      this.#enter('read', 'look');
      return this.#file.latest.size;
    });
  }

  read(into: Uint8Array, offset: number): Promise<number> {
    return this.#world.soon(() => this.readNow(into, offset));
  }

  /** As on the pool: `bytes` belong to the callee until the promise settles. */
  write(bytes: Uint8Array, offset: number): Promise<void> {
    return this.#world.soon(() => this.writeNow(bytes, offset));
  }

  readNow(into: Uint8Array, offset: number): number {
    this.#enter('read', 'look');
    return this.#file.latest.read(into, offset);
  }

  writeNow(bytes: Uint8Array, offset: number): void {
    this.#enter('write', 'step', ` ${bytes.length} bytes at ${offset}`);
    this.#world.needSpace('write', this.path, () => {
      const trial = this.#file.latest.copy();
      trial.write(bytes, offset);
      return Math.max(trial.allocatedBytes, this.#file.reservedBytes) - this.#file.spaceBytes;
    });
    // Of a Buffer, slice would be a view, and what its owner puts there later would be written.
    this.#world.change(this.#file, { kind: 'write', offset, bytes: new Uint8Array(bytes) });
  }

  /** Zeroes, as a hole where whole 4 KiB pages are covered; the size is kept. */
  zeroNow(offset: number, length: number): void {
    this.#enter('write', 'step', ` ${length} zeroes at ${offset}`);
    this.#world.change(this.#file, { kind: 'zero', offset, length });
  }

  /** First offset >= `from` that may hold data (4 KiB grain), or the size. */
  nextDataNow(from: number): number {
    this.#enter('read', 'look');
    return this.#file.latest.nextData(from);
  }

  /** First offset >= `from` in a hole, or the size; agrees with nextDataNow. */
  nextHoleNow(from: number): number {
    this.#enter('read', 'look');
    return this.#file.latest.nextHole(from);
  }

  /** Bytes read past the page cache: what a failed sync has given up is not seen (H18). */
  readMedium(into: Uint8Array, offset: number): Promise<number> {
    return this.#world.soon(() => {
      this.#enter('read', 'look');
      return this.#file.medium().read(into, offset);
    });
  }

  /** Drops the page cache of the whole file, as far as it is clean. */
  dropCachedNow(): void {
    this.#enter('read', 'look');
    this.#file.evict();
  }

  sync(): Promise<void> {
    const covered = this.#world.sequence;
    return this.#world.soon(() => {
      try {
        this.#enter('sync', 'step');
      } catch (error) {
        // Linux reports once and calls the pages clean: they are never written again (H18).
        if (error instanceof FilesError) this.#file.sync(covered, 'lost');
        throw error;
      }
      this.#file.sync(covered);
    });
  }

  truncate(bytes: number): Promise<void> {
    return this.#world.soon(() => {
      this.#enter('truncate', 'step', ` to ${bytes}`);
      this.#world.change(this.#file, { kind: 'truncate', bytes });
      this.#file.reservedBytes = Math.min(this.#file.reservedBytes, bytes);
    });
  }

  /** Not lost by a crash: the model is not interested in space that comes back. */
  reserve(bytes: number): Promise<void> {
    return this.#world.soon(() => {
      this.#enter('reserve', 'step', ` ${bytes}`);
      const file = this.#file;
      const wanted = Math.max(file.reservedBytes, bytes);
      this.#world.needSpace('reserve', this.path, () => wanted - file.spaceBytes);
      file.reservedBytes = wanted;
    });
  }

  close(): Promise<void> {
    return this.#world.soon(() => {
      this.#world.alive(`close ${this.path}`);
      this.#open = false;
    });
  }

  #enter(operation: Operation, kind: 'look' | 'step', note = ''): void {
    this.#world.enter(operation, this.path, kind, note);
    assert(this.#open, `${this.path} is open`);
    if (kind === 'step' && operation !== 'sync' && !this.#writable) {
      throw failed(operation, this.path, 'EBADF');
    }
  }
}
