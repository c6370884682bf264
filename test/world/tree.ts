// The directory tree of the crash world: what each directory lists now, what of it is durable, and
// the un-synced changes of entries in order. Decides what a crash leaves of it (nodes.ts: what may
// be lost). Paths are absolute, their names separated by '/'.
import { assert } from '../../src/base/assert.js';
import { digestOf } from '../../src/base/digest.js';
import { hex, type Random } from '../../src/base/random.js';
import { sectorsOf } from './changes.js';
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

/** A change that a crash may take. */
export interface Unsynced {
  readonly sequence: number;
  /** Of the file, or of the first entry that changes. */
  readonly path: string;
  readonly what: 'write' | 'zero' | 'truncate' | 'entry';
  /** It may be torn where there are several; 0 of what cannot be. */
  readonly sectors: number;
  /** A write that makes the file longer than it is on the disk. */
  readonly grows: boolean;
}

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

  /** Every change that a crash may take, in their order. */
  unsynced(): Unsynced[] {
    const found: Unsynced[] = [];
    for (const [file, path] of this.#reachable()) {
      for (const change of file.unsynced) {
        const end = change.kind === 'write' ? change.offset + change.bytes.length : 0;
        const facts = { sequence: change.sequence, path, what: change.kind };
        const grows = end > file.durable.size;
        found.push({ ...facts, sectors: sectorsOf(change), grows });
      }
    }
    for (const { sequence, entries } of this.#changes) {
      const [first] = entries;
      const at = first === undefined ? '' : (this.#pathOf(first.directory) ?? '?');
      const facts = { sequence, path: `${at}/${first?.name}`, what: 'entry' as const };
      found.push({ ...facts, sectors: 0, grows: false });
    }
    return found.sort((a, b) => a.sequence - b.sequence);
  }

  fingerprint(except: RegExp | null): string {
    const numbers = new Map<FileNode, number>(); // one file may have two names
    const lines: string[] = [];
    for (const [path, file] of this.files()) {
      const number = numbers.get(file) ?? numbers.size;
      numbers.set(file, number);
      const content = except?.test(path) ? '' : file.latest.fingerprint();
      lines.push(`${path} ${number} ${content}`);
    }
    return hex(digestOf(new TextEncoder().encode(lines.sort().join('\n'))));
  }

  /** What a crash leaves. */
  survivor(loss: LossClass, random: Random): Tree {
    const fates = typeof loss === 'object' && 'fates' in loss ? loss.fates : null;
    const only = typeof loss === 'object' && 'only' in loss ? this.find(loss.only) : null;
    assert(typeof loss !== 'object' || only !== null || fates !== null, 'what to lose exists');
    const general = typeof loss === 'object' ? 'none' : loss;
    const entriesOf = survivingEntries(this.#changes, (change) => {
      if (fates !== null) return fates.get(change.sequence) !== 'lost';
      if (general === 'seeded') return random.below(2) === 0;
      return general === 'none' && !change.entries.some((entry) => entry.directory === only);
    });
    const copies = new Map<FileNode, FileNode>(); // one file may be left under two names
    const fileLeft = (file: FileNode): FileNode => {
      const left = () =>
        fates !== null
          ? file.survivorOf(fates)
          : file.survivor(file === only ? 'all' : general, random);
      const copy = copies.get(file) ?? left();
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

  /** As it is, with what is not durable yet. */
  clone(): Tree {
    const copies = new Map<Node, Node>();
    const copyOf = (node: Node): Node => {
      const known = copies.get(node);
      if (known !== undefined) return known;
      const copy = node.kind === 'file' ? node.clone() : new DirectoryNode();
      copies.set(node, copy);
      if (node.kind === 'directory' && copy.kind === 'directory') {
        for (const [name, child] of node.latest) copy.latest.set(name, copyOf(child));
        for (const [name, child] of node.durable) copy.durable.set(name, copyOf(child));
      }
      return copy;
    };
    const directoryOf = (directory: DirectoryNode): DirectoryNode => {
      const copy = copyOf(directory);
      assert(copy.kind === 'directory', 'the copy of a directory is one');
      return copy;
    };
    const tree = new Tree(directoryOf(this.root));
    tree.#changes = this.#changes.map(({ sequence, entries }) => ({
      sequence,
      entries: entries.map(({ directory, name, node }) => ({
        directory: directoryOf(directory),
        name,
        node: node === null ? null : copyOf(node),
      })),
    }));
    return tree;
  }

  /** The files that a crash may leave, each with a name it has, had or was to have. */
  #reachable(directory = this.root, at = '', found = new Map<FileNode, string>()) {
    const changed = this.#changes.flatMap(({ entries }) =>
      entries.filter((entry) => entry.directory === directory),
    );
    const named = changed.flatMap(({ name, node }) =>
      node === null ? [] : [[name, node] as const],
    );
    for (const [name, node] of [...directory.durable, ...named, ...directory.latest]) {
      if (node.kind === 'file') found.set(node, `${at}/${name}`);
      else this.#reachable(node, `${at}/${name}`, found);
    }
    return found;
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
