// What the crash world stores: files and directories, each as it reads now and as it is durable,
// with the changes between in order. Model of a file system without a journal over a disk with a
// volatile cache (POSIX promises no more): un-synced writes of a file may be lost one by one and
// torn at sectors of 512 bytes; un-synced changes of directory entries may be lost one by one, but
// for one entry only from the end (no later change of an entry survives an earlier lost one).
import { assert } from '../../src/base/assert.js';
import type { Random } from '../../src/base/random.js';
import { apply, applyFate, applyTorn, type Fates, type FileChange } from './changes.js';
import { Sparse } from './sparse.js';

/**
 * What a crash takes. 'none': the process died, all that was written survives. 'all': every
 * un-synced change is gone. 'seeded': each survives or not, writes also in part. `only`: the
 * un-synced changes of that one file (or that one directory's entries) are gone, no others.
 * `fates`: each as named there.
 */
export type LossClass =
  | ('none' | 'all' | 'seeded')
  | { readonly only: string }
  | { readonly fates: Fates };

export class FileNode {
  readonly kind = 'file';
  latest: Sparse;
  readonly durable: Sparse;
  /** Changes that are in `latest` and not in `durable`, oldest first. */
  unsynced: FileChange[] = [];
  reservedBytes = 0;
  /** The cache shows changes that will never reach the disk. */
  #gaveUp = false;

  constructor(content = new Sparse()) {
    this.latest = content;
    this.durable = content.copy();
  }

  /** Space taken: the reservation, or what is written where that is more. */
  get spaceBytes(): number {
    return Math.max(this.reservedBytes, this.latest.allocatedBytes);
  }

  change(change: FileChange): void {
    apply(this.latest, change);
    this.unsynced.push(change);
  }

  /** Changes up to `sequence` become durable (or are given up, as by a failed sync, H18). */
  sync(sequence: number, fate: 'durable' | 'lost' = 'durable'): void {
    const later = this.unsynced.findIndex((change) => change.sequence > sequence);
    const done = this.unsynced.splice(0, later < 0 ? this.unsynced.length : later);
    if (fate === 'durable') for (const change of done) apply(this.durable, change);
    else this.#gaveUp = true;
  }

  /** Drops the page cache: what a failed sync has given up is no longer seen. */
  evict(): void {
    this.latest = this.medium();
    this.#gaveUp = false;
  }

  /** What a read past the page cache finds: dirty pages are written for it, given-up ones are not
   * dirty any more. */
  medium(): Sparse {
    if (!this.#gaveUp) return this.latest;
    const content = this.durable.copy();
    for (const change of this.unsynced) apply(content, change);
    return content;
  }

  flip(offset: number): void {
    assert(offset < this.latest.size, 'the byte exists');
    const byte = new Uint8Array(1);
    for (const content of [this.latest, this.durable]) {
      if (content.read(byte, offset) === 1)
        content.write(new Uint8Array([(byte[0] ?? 0) ^ 16]), offset);
    }
  }

  /** What a crash leaves of the content. */
  survivor(loss: 'none' | 'all' | 'seeded', random: Random): FileNode {
    if (loss === 'none') return new FileNode(this.latest.copy());
    const content = this.durable.copy();
    if (loss === 'seeded') {
      for (const change of this.unsynced) applyTorn(content, change, random);
    }
    return new FileNode(content);
  }

  /** As it is, with what is not durable yet. */
  clone(): FileNode {
    const copy = new FileNode(this.durable.copy());
    copy.latest = this.latest.copy();
    copy.unsynced = [...this.unsynced];
    copy.#gaveUp = this.#gaveUp;
    return copy;
  }

  /** What a crash leaves of the content that treats each un-synced change as it is told. */
  survivorOf(fates: Fates): FileNode {
    const content = this.durable.copy();
    for (const change of this.unsynced) applyFate(content, change, fates.get(change.sequence));
    return new FileNode(content);
  }
}

export class DirectoryNode {
  readonly kind = 'directory';
  readonly latest = new Map<string, Node>();
  readonly durable = new Map<string, Node>();
}

export type Node = FileNode | DirectoryNode;

/** One entry of a directory set to a node, or removed (null). */
export interface EntryChange {
  readonly directory: DirectoryNode;
  readonly name: string;
  readonly node: Node | null;
}

/** One operation: its entries change together. A rename has two, any other has one. */
export interface DirectoryChange {
  readonly sequence: number;
  entries: EntryChange[];
}

export function setEntry(entries: Map<string, Node>, name: string, node: Node | null): void {
  if (node) entries.set(name, node);
  else entries.delete(name);
}

/**
 * The entries that a crash leaves, per directory. `keep` says of each operation whether it reached
 * the disk; it does so only if every earlier change of the same entries did.
 */
export function survivingEntries(
  changes: readonly DirectoryChange[],
  keep: (change: DirectoryChange) => boolean,
): (directory: DirectoryNode) => Map<string, Node> {
  const left = new Map<DirectoryNode, Map<string, Node>>();
  const lost = new Map<DirectoryNode, Set<string>>();
  const entriesOf = (directory: DirectoryNode): Map<string, Node> => {
    const known = left.get(directory) ?? new Map(directory.durable);
    left.set(directory, known);
    return known;
  };
  for (const change of changes) {
    const blocked = change.entries.some((one) => lost.get(one.directory)?.has(one.name));
    const kept = keep(change) && !blocked;
    for (const { directory, name, node } of change.entries) {
      if (kept) setEntry(entriesOf(directory), name, node);
      else lost.set(directory, (lost.get(directory) ?? new Set()).add(name));
    }
  }
  return entriesOf;
}
