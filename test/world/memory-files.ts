// CrashWorld: the files of one machine in memory, for tests of order. Reads see the latest; a crash
// leaves what was synced and, by loss class, more (nodes.ts says what may be lost). One CrashWorld
// is one incarnation of the machine: `crashAt` stops it at a step, `afterCrash` builds the next.
// Offsets and lengths are bytes; a step is one operation that changes or syncs something.
//
// A stopped world answers nothing: promises never settle, `...Now` calls throw WorldStopped. Code
// that catches that may still talk to what is not in this world: cut its links in `onStop`.
// An asynchronous operation takes effect one turn after its call; a sync covers what had taken
// effect when it was called (as fdatasync does, H6), not what came while it ran.
import { assert } from '../../src/base/assert.js';
import { type Files, FilesError, type OpenMode } from '../../src/base/files.js';
import type { Random } from '../../src/base/random.js';
import type { Unnumbered } from './changes.js';
import { DirectoryNode, FileNode, type LossClass } from './nodes.js';
import { failed, type Operation, Story } from './story.js';
import { contentOf, namesOf, Tree, type Unsynced } from './tree.js';
import { WorldFile } from './world-file.js';

export type { LossClass } from './nodes.js';
export { type Operation, WorldStopped } from './story.js';

export interface WorldOptions {
  /** Space of the whole world; writes and reservations beyond it fail with ENOSPC. */
  readonly capacityBytes?: number;
  /** How long an asynchronous operation takes; default: one turn of the microtask queue. */
  readonly turn?: () => Promise<void>;
}

export class CrashWorld extends Story implements Files {
  readonly #options: WorldOptions;
  readonly #tree: Tree;
  #capacityBytes: number | undefined;
  #sequence = 0;

  constructor(options: WorldOptions = {}, tree = new Tree()) {
    super(options.turn);
    this.#options = options;
    this.#capacityBytes = options.capacityBytes;
    this.#tree = tree;
  }

  // What happens to the machine.

  /**
   * The machine as a crash in this moment leaves it. This one is not touched: several classes can
   * be asked for one after the other, also while it runs.
   */
  afterCrash(loss: LossClass, random: Random): CrashWorld {
    return new CrashWorld(this.#options, this.#tree.survivor(loss, random));
  }

  /**
   * The machine as the death of its processes leaves it: all that was written is there, and what
   * was not durable is so no more than before: a power failure later may still take it.
   */
  afterKill(): CrashWorld {
    const next = new CrashWorld(this.#options, this.#tree.clone());
    next.#sequence = this.#sequence;
    return next;
  }

  /** Bit rot: one bit of the byte at `offset`, in the cache and on the disk. */
  flip(path: string, offset: number): void {
    this.#file(path).flip(offset);
  }

  /** Drops the page cache of a file: what a failed sync gave up is no longer seen (H18). */
  evict(path: string): void {
    this.#file(path).evict();
  }

  /** Makes everything durable, as an hour of idleness would. Not a step. */
  settle(): void {
    this.#tree.settle();
  }

  /**
   * A file (and its directories) that had been there for long: durable, not a step. `bytes` is its
   * content, or its size as one hole. An existing one is replaced.
   */
  plant(path: string, bytes: Uint8Array | number): void {
    this.#tree.plant(path, contentOf(bytes));
  }

  /** From now on there is that much space in all; null: as much as is wanted. */
  limit(capacityBytes: number | null): void {
    this.#capacityBytes = capacityBytes ?? undefined;
  }

  // Looks from outside: they work in a stopped world too and are no steps.

  /** Paths of the files with un-synced content, sorted: the class "each file alone". */
  unsyncedFiles(): string[] {
    const waiting = [...this.#tree.files()].filter(([, file]) => file.unsynced.length > 0);
    return waiting.map(([path]) => path).sort();
  }

  /** Paths of the directories with un-synced entries, sorted; each can be lost alone, as a file. */
  unsyncedDirectories(): string[] {
    return this.#tree.unsyncedDirectories();
  }

  /** Every change that a crash may take, in the order in which they were made. */
  unsynced(): Unsynced[] {
    return this.#tree.unsynced();
  }

  /** Equal for worlds that read the same, holes included. The content of files whose path matches
   * `except` does not count. */
  fingerprint(except: RegExp | null = null): string {
    return this.#tree.fingerprint(except);
  }

  /** Whole content as it reads now, or null. */
  peek(path: string): Uint8Array | null {
    const node = this.#tree.find(path);
    return node?.kind === 'file' ? node.latest.bytes() : null;
  }

  /** Another one when the content of a file is another; null: no such file. */
  printOf(path: string): string | null {
    const node = this.#tree.find(path);
    return node?.kind === 'file' ? node.latest.fingerprint() : null;
  }

  /** Size of a file as it reads now, or null. */
  sizeNow(path: string): number | null {
    const node = this.#tree.find(path);
    return node?.kind === 'file' ? node.latest.size : null;
  }

  /** Bytes of space taken by all files. */
  usedBytes(): number {
    let used = 0;
    for (const [, file] of this.#tree.files()) used += file.spaceBytes;
    return used;
  }

  // Files.

  open(path: string, mode: OpenMode): Promise<WorldFile> {
    return this.soon(() => this.openNow(path, mode));
  }

  /** As `open`, in the call. */
  openNow(path: string, mode: OpenMode): WorldFile {
    this.enter('open', path, 'look');
    const found = this.#tree.find(path);
    if (found?.kind === 'directory') throw failed('open', path, 'EISDIR');
    if (found && mode === 'exclusive') throw failed('open', path, 'EEXIST');
    if (found) {
      if (mode === 'truncate') this.#empty(found, path);
      return new WorldFile(this, path, found, mode !== 'read');
    }
    const parent = this.#tree.parent(path);
    if (!parent || mode === 'read' || mode === 'write') throw failed('open', path, 'ENOENT');
    this.enter('create', path, 'step');
    const file = new FileNode();
    this.#tree.relink(this.#next(), [{ ...parent, node: file }]);
    return new WorldFile(this, path, file, true);
  }

  readWhole(path: string, bytesMax: number): Promise<Uint8Array | null> {
    return this.soon(() => {
      this.enter('read', path, 'look');
      const node = this.#tree.find(path);
      if (!node) return null;
      if (node.kind === 'directory') throw failed('read', path, 'EISDIR');
      const bytes = node.latest.size;
      if (bytes > bytesMax) throw new FilesError({ code: 'FILE_TOO_LARGE', path, bytes, bytesMax });
      return node.latest.bytes();
    });
  }

  exists(path: string): Promise<boolean> {
    return this.soon(() => {
      this.alive(`exists ${path}`);
      return this.#tree.find(path) !== null;
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.soon(() => {
      this.enter('rename', from, 'step', ` to ${to}`);
      const [node, source, target] = [
        this.#tree.find(from),
        this.#tree.parent(from),
        this.#tree.parent(to),
      ];
      if (!node || !source || !target) throw failed('rename', from, 'ENOENT');
      const replaced = target.directory.latest.get(target.name);
      if (replaced === node) return;
      if (replaced && (replaced.kind !== 'file' || node.kind !== 'file')) {
        throw failed('rename', to, replaced.kind === 'file' ? 'ENOTDIR' : 'EISDIR');
      }
      const entries = [
        { ...target, node },
        { ...source, node: null },
      ];
      this.#tree.relink(this.#next(), entries);
    });
  }

  remove(path: string): Promise<void> {
    return this.soon(() => {
      this.alive(`remove ${path}`);
      const [node, parent] = [this.#tree.find(path), this.#tree.parent(path)];
      if (!node || !parent) return;
      if (node.kind === 'directory') throw failed('remove', path, 'EISDIR');
      this.enter('remove', path, 'step');
      this.#tree.relink(this.#next(), [{ ...parent, node: null }]);
    });
  }

  list(directory: string): Promise<readonly string[]> {
    return this.soon(() => {
      this.enter('list', directory, 'look');
      const node = this.#tree.find(directory);
      if (node?.kind === 'file') throw failed('list', directory, 'ENOTDIR');
      return node ? [...node.latest.keys()].sort() : [];
    });
  }

  /** The new entries are un-synced as those of files are; a step for each directory made. */
  makeDirectory(directory: string): Promise<void> {
    return this.soon(() => {
      this.alive(`makeDirectory ${directory}`);
      let parent = this.#tree.root;
      for (const name of namesOf(directory)) {
        let node = parent.latest.get(name);
        if (node?.kind === 'file') throw failed('makeDirectory', directory, 'ENOTDIR');
        if (!node) {
          this.enter('makeDirectory', directory, 'step');
          node = new DirectoryNode();
          this.#tree.relink(this.#next(), [{ directory: parent, name, node }]);
        }
        parent = node;
      }
    });
  }

  syncDirectory(directory: string): Promise<void> {
    const covered = this.#sequence;
    return this.soon(() => {
      this.enter('syncDirectory', directory, 'step');
      const node = this.#tree.find(directory);
      if (node?.kind !== 'directory') throw failed('syncDirectory', directory, 'ENOENT');
      this.#tree.syncDirectory(node, covered);
    });
  }

  // What the handles use.

  /** The newest change; a sync covers what had this number or less at its call. */
  get sequence(): number {
    return this.#sequence;
  }

  change(file: FileNode, change: Unnumbered): void {
    file.change({ ...change, sequence: this.#next() });
  }

  /** Throws ENOSPC if `moreBytes()` of space are not there; not asked in an unlimited world. */
  needSpace(operation: Operation, path: string, moreBytes: () => number): void {
    const capacityBytes = this.#capacityBytes;
    if (capacityBytes === undefined) return;
    const more = moreBytes();
    if (more > 0 && this.usedBytes() + more > capacityBytes) {
      throw failed(operation, path, 'ENOSPC');
    }
  }

  #empty(file: FileNode, path: string): void {
    this.enter('truncate', path, 'step', ' to 0 by open');
    this.change(file, { kind: 'truncate', bytes: 0 });
    file.reservedBytes = 0;
  }

  #next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #file(path: string): FileNode {
    const node = this.#tree.find(path);
    assert(node?.kind === 'file', `${path} is a file of this world`);
    return node;
  }
}
