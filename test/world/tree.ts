// The directory tree of the crash world: what each directory lists now, what of it is durable, and
// the un-synced changes of entries in order. Decides what a crash leaves of it (nodes.ts: what may
// be lost). Paths are absolute, their names separated by '/'.
import { assert } from '../../src/base/assert.js';
import type { Random } from '../../src/base/random.js';
import {
  type DirectoryChange,
  DirectoryNode,
  type EntryChange,
  FileNode,
  type LossClass,
  type Node,
  setEntry,
  survivingEntries,
} from './nodes.js';
import { Sparse } from './sparse.js';

export class Tree {
  readonly root: DirectoryNode;
  #changes: DirectoryChange[] = [];

  constructor(root = new DirectoryNode()) {
    this.root = root;
  }

  find(path: string): Node | null {
    let node: Node = this.root;
    for (const name of namesOf(path)) {
      const next: Node | undefined = node.kind === 'file' ? undefined : node.latest.get(name);
      if (!next) return null;
      node = next;
    }
    return node;
  }

  /** The directory of a path and the last name; null when there is no such directory. */
  parent(path: string): { directory: DirectoryNode; name: string } | null {
    const names = namesOf(path);
    const name = names.pop();
    const directory = this.find(names.join('/'));
    return name !== undefined && directory?.kind === 'directory' ? { directory, name } : null;
  }

  /** Changes entries together, un-synced, as operation number `sequence`. */
  relink(sequence: number, entries: EntryChange[]): void {
    for (const { directory, name, node } of entries) setEntry(directory.latest, name, node);
    this.#changes.push({ sequence, entries });
  }

  /** Entries of `directory` changed by operations up to `covered` become durable. */
  syncDirectory(directory: DirectoryNode, covered: number): void {
    for (const change of this.#changes) {
      if (change.sequence > covered) continue;
      for (const entry of change.entries) {
        if (entry.directory === directory) setEntry(directory.durable, entry.name, entry.node);
      }
      change.entries = change.entries.filter((entry) => entry.directory !== directory);
    }
    this.#changes = this.#changes.filter((change) => change.entries.length > 0);
  }

  /** Everything becomes durable. */
  settle(): void {
    for (const { directory, name, node } of this.#changes.flatMap((change) => change.entries)) {
      setEntry(directory.durable, name, node);
    }
    this.#changes = [];
    for (const [, file] of this.files()) file.sync(Number.POSITIVE_INFINITY);
  }

  /** A durable file with its directories; replaces what is there. */
  plant(path: string, content: Sparse): void {
    const names = namesOf(path);
    const last = names.pop();
    assert(last !== undefined, 'a file has a name');
    let directory = this.root;
    const put = (name: string, node: Node): void => {
      directory.latest.set(name, node);
      directory.durable.set(name, node);
    };
    for (const name of names) {
      const found = directory.latest.get(name);
      const next = found?.kind === 'directory' ? found : new DirectoryNode();
      put(name, next);
      directory = next;
    }
    put(last, new FileNode(content));
  }

  /** All files with their paths. */
  *files(directory = this.root, at = ''): Generator<[string, FileNode]> {
    for (const [name, node] of directory.latest) {
      if (node.kind === 'file') yield [`${at}/${name}`, node];
      else yield* this.files(node, `${at}/${name}`);
    }
  }

  /** Paths of the directories that have un-synced entries. */
  unsyncedDirectories(): string[] {
    const changed = this.#changes.flatMap((change) => change.entries.map((one) => one.directory));
    const found = [...new Set(changed)].map((directory) => this.#pathOf(directory));
    return found.filter((path) => path !== null).sort();
  }

  /** What a crash leaves. */
  survivor(loss: LossClass, random: Random): Tree {
    const only = typeof loss === 'object' ? this.find(loss.only) : null;
    assert(typeof loss !== 'object' || only !== null, 'the one to lose exists');
    const general = typeof loss === 'object' ? 'none' : loss;
    const entriesOf = survivingEntries(this.#changes, (change) => {
      if (general === 'seeded') return random.below(2) === 0;
      return general === 'none' && !change.entries.some((entry) => entry.directory === only);
    });
    const copies = new Map<FileNode, FileNode>(); // one file may be left under two names
    const fileLeft = (file: FileNode): FileNode => {
      const copy = copies.get(file) ?? file.survivor(file === only ? 'all' : general, random);
      copies.set(file, copy);
      return copy;
    };
    const directoryLeft = (from: DirectoryNode): DirectoryNode => {
      const to = new DirectoryNode();
      for (const [name, node] of entriesOf(from)) {
        const left = node.kind === 'file' ? fileLeft(node) : directoryLeft(node);
        to.latest.set(name, left);
        to.durable.set(name, left);
      }
      return to;
    };
    return new Tree(directoryLeft(this.root));
  }

  #pathOf(wanted: DirectoryNode, from = this.root, at = ''): string | null {
    if (wanted === from) return at === '' ? '/' : at;
    for (const [name, node] of from.latest) {
      const found = node.kind === 'directory' ? this.#pathOf(wanted, node, `${at}/${name}`) : null;
      if (found !== null) return found;
    }
    return null;
  }
}

/** Content of a planted file: bytes, or a hole of that size. */
export function contentOf(bytes: Uint8Array | number): Sparse {
  const content = new Sparse();
  if (typeof bytes === 'number') content.truncate(bytes);
  else content.write(bytes, 0);
  return content;
}

export const namesOf = (path: string): string[] =>
  path.split('/').filter((name) => name !== '' && name !== '.');
