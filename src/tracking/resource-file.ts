// The published state of one resource: resource.json and its second copy. Guarantee: `update`
// resolves only when the new state is durable in both; a crash at any moment leaves at least one
// whole copy, and the higher valid generation wins (DESIGN.md §4, STYLE 16). One owner a process.
// What is owed is part of every update until one has published it: a change that must not be lost
// to one failure of the file system (a doubt).
import { errorClass, type HastError } from '../base/errors.js';
import { type Files, FilesError } from '../base/files.js';
import { publish } from '../base/publish.js';
import { Mutex } from '../base/sync.js';
import { FormatError } from '../format/changeset.js';
import {
  decodeResourceState,
  encodeResourceState,
  RESOURCE_STATE_BYTES_MAX,
  type ResourceState,
} from '../format/resource-state.js';

export type StateFault =
  | { code: 'STATE_MISSING'; path: string }
  | { code: 'STATE_UNREADABLE'; path: string; why: string };

export const StateError = errorClass<StateFault>('StateError', {
  STATE_MISSING: (f) => `${f.path}: no state of this resource (hastctl create makes it)`,
  STATE_UNREADABLE: (f) =>
    `${f.path}: neither copy of the state is whole: ${f.why} ` +
    '(hastctl create --force keeps them aside and starts anew)',
});

export const RESOURCE_FILE = 'resource.json';
export const RESOURCE_FILE_COPY = 'resource.json.2';

type Change = (state: ResourceState) => ResourceState;

export class ResourceFile {
  readonly directory: string;
  readonly #files: Files;
  readonly #order = new Mutex();
  #state: ResourceState;
  /** The last generation tried: a failed one may stand in a copy, so none is used twice. */
  #generation: number;
  /** In the order of `owe`. */
  #owed: readonly Change[] = [];
  /** What was wrong with one of the copies when they were loaded; null: both were whole and equal,
   * one of the conditions of H11. */
  readonly trouble: string | null;

  private constructor(
    files: Files,
    directory: string,
    state: ResourceState,
    trouble: string | null,
  ) {
    this.#files = files;
    this.directory = directory;
    this.#state = state;
    this.#generation = state.generation;
    this.trouble = trouble;
  }

  get state(): ResourceState {
    return this.#state;
  }

  get copiesAgreed(): boolean {
    return this.trouble === null;
  }

  /** Loads the newer whole copy. Errors STATE_MISSING, STATE_UNREADABLE; FORMAT_VERSION where no
   * copy is whole and one is of another version. */
  static async load(files: Files, directory: string): Promise<ResourceFile> {
    const copies: { readonly path: string; readonly state: ResourceState }[] = [];
    let why = '';
    let foreign: HastError | null = null;
    let trouble: string | null = null;
    let found = 0;
    for (const name of [RESOURCE_FILE, RESOURCE_FILE_COPY]) {
      const path = `${directory}/${name}`;
      try {
        const bytes = await files.readWhole(path, RESOURCE_STATE_BYTES_MAX);
        if (bytes === null) {
          trouble = `${path}: missing`;
          continue;
        }
        found += 1;
        copies.push({ path, state: decodeResourceState(bytes, path) });
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof FilesError)) throw error;
        found += 1;
        if (error.fault.code === 'FORMAT_VERSION') foreign ??= error;
        why = error.message;
        trouble = why;
      }
    }
    const path = `${directory}/${RESOURCE_FILE}`;
    copies.sort((a, b) => b.state.generation - a.state.generation);
    const [newest, older] = copies;
    if (newest === undefined) {
      if (found === 0) throw new StateError({ code: 'STATE_MISSING', path });
      throw foreign ?? new StateError({ code: 'STATE_UNREADABLE', path, why });
    }
    const behind = older !== undefined && older.state.generation < newest.state.generation;
    if (behind) {
      const generations = `${older.state.generation}, the other copy of ${newest.state.generation}`;
      trouble = `${older.path}: it is of generation ${generations}`;
    }
    return new ResourceFile(files, directory, newest.state, trouble);
  }

  /** Publishes the first state of a new resource. */
  static async create(
    files: Files,
    directory: string,
    state: ResourceState,
  ): Promise<ResourceFile> {
    const file = new ResourceFile(files, directory, state, null);
    await file.update((first) => first);
    return file;
  }

  /** Changes the state; durable in both copies when it resolves. If publishing fails the state in
   * memory stays the old one and the error is thrown. */
  update(change: Change): Promise<void> {
    return this.#order.run(async () => {
      this.#generation += 1;
      const owed = this.#owed;
      const paid = owed.reduce((state, each) => each(state), this.#state);
      const next = { ...change(paid), generation: this.#generation };
      const bytes = encodeResourceState(next);
      await publish(this.#files, `${this.directory}/${RESOURCE_FILE}`, bytes);
      await publish(this.#files, `${this.directory}/${RESOURCE_FILE_COPY}`, bytes);
      this.#state = next;
      this.#owed = this.#owed.filter((each) => !owed.includes(each));
    });
  }

  /** As `update`; when it fails, the change comes first in every later update until one stands. */
  owe(change: Change): Promise<void> {
    this.#owed = [...this.#owed, change];
    return this.pay();
  }

  /** What is owed stands when it resolves; nothing is written where nothing is. */
  async pay(): Promise<void> {
    if (this.#owed.length > 0) await this.update((state) => state);
  }
}
