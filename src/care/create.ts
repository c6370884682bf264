// hastctl create: gives a resource its state directory. The disk itself is never written: an
// existing one is adopted as it stands; an absent one is made as a sparse file with -m, else at
// first contact. Existing state is kept aside, never erased, and only with `force`.
import { errorClass } from '../base/errors.js';
import type { Files } from '../base/files.js';
import { CHUNK_BYTES, DISK_BYTES_MAX, humanBytes, SECTOR_BYTES } from '../base/units.js';
import { ControlError } from '../control/api.js';
import { createSparseFile } from '../disk/create-file.js';
import { probeDisk } from '../disk/probe.js';
import { EMPTY_REPLICA, type ResourceState } from '../format/resource-state.js';
import { RESOURCE_FILE, RESOURCE_FILE_COPY, ResourceFile } from '../tracking/resource-file.js';

/** Largest extent: 1 GiB. */
const EXTENT_BYTES_MAX = 2 ** 30;
const KEEPDIRTY_MAX = 65_536;

export type CreateFault =
  | { code: 'CREATE_BAD_EXTENT'; extentBytes: number }
  | { code: 'CREATE_BAD_KEEPDIRTY'; keepdirty: number }
  | { code: 'CREATE_BAD_MEDIASIZE'; mediaBytes: number; diskBytes: number };

export const CreateError = errorClass<CreateFault>('CreateError', {
  CREATE_BAD_EXTENT: (f) =>
    `-e ${f.extentBytes}: an extent is a power of two from 64k to 1G (try 2M)`,
  CREATE_BAD_KEEPDIRTY: (f) => `-k ${f.keepdirty}: from 0 to ${KEEPDIRTY_MAX} (try 64)`,
  CREATE_BAD_MEDIASIZE: (f) =>
    `-m ${f.mediaBytes}: a multiple of 512${f.diskBytes ? ` up to the disk's ${f.diskBytes}` : ''}`,
});

export interface CreateOptions {
  readonly statedir: string;
  readonly name: string;
  readonly local: string;
  readonly extentBytes: number;
  readonly keepdirty: number;
  /** Size of the replicated part; null: the whole disk. */
  readonly mediaBytes: number | null;
  readonly force: boolean;
  readonly nowMs: number;
}

/** Makes the state; returns sentences for the operator. Errors CreateError, STATE_EXISTS,
 * DiskError. */
export async function createResource(
  files: Files,
  options: CreateOptions,
): Promise<{ notes: string[] }> {
  const { name, local, extentBytes, keepdirty } = options;
  const power = 2 ** Math.round(Math.log2(extentBytes)) === extentBytes;
  if (!power || extentBytes < CHUNK_BYTES || extentBytes > EXTENT_BYTES_MAX) {
    throw new CreateError({ code: 'CREATE_BAD_EXTENT', extentBytes });
  }
  if (!Number.isInteger(keepdirty) || keepdirty < 0 || keepdirty > KEEPDIRTY_MAX) {
    throw new CreateError({ code: 'CREATE_BAD_KEEPDIRTY', keepdirty });
  }
  const directory = `${options.statedir}/${name}`;
  const notes: string[] = [];
  const exists = await stateExists(files, directory);
  if (exists && !options.force) {
    throw new ControlError({ code: 'STATE_EXISTS', name, path: directory });
  }
  const sizeBytes = await diskSize(files, options, notes);
  if (exists) {
    const aside = `${directory}.old-${options.nowMs}`;
    await files.rename(directory, aside);
    notes.push(`${name}: the state before is kept in ${aside}`);
  }
  await files.makeDirectory(directory);
  await ResourceFile.create(files, directory, {
    ...freshState(name),
    sizeBytes,
    extentBytes,
    keepdirty,
  });
  await files.syncDirectory(options.statedir);
  const size = sizeBytes > 0 ? humanBytes(sizeBytes) : 'of a size known at first contact';
  notes.push(`${name}: created, ${local}, ${size}`);
  return { notes };
}

/** The state of a resource that has never been primary or secondary. */
export function freshState(name: string): ResourceState {
  return {
    generation: 0,
    name,
    resource: null,
    sizeBytes: 0,
    extentBytes: 0,
    keepdirty: 0,
    role: 'init',
    remembered: 'init',
    nextPoint: 1,
    epochs: [],
    written: false,
    knownPoints: [],
    targets: {},
    replica: EMPTY_REPLICA,
    clean: null,
    running: null,
    doubt: null,
  };
}

async function stateExists(files: Files, directory: string): Promise<boolean> {
  for (const name of [RESOURCE_FILE, RESOURCE_FILE_COPY]) {
    if (await files.exists(`${directory}/${name}`)) return true;
  }
  return false;
}

/** What the disk holds is on it: a guest that has read it may count on that (W3), and nobody knows
 * who wrote it last. */
async function flush(files: Files, local: string): Promise<void> {
  const disk = await files.open(local, 'read');
  try {
    await disk.sync();
  } finally {
    await disk.close();
  }
}

/** Size of the replicated disk; 0: the disk is made at first contact. */
async function diskSize(files: Files, options: CreateOptions, notes: string[]): Promise<number> {
  const { local, mediaBytes } = options;
  const bad = (diskBytes: number) =>
    new CreateError({ code: 'CREATE_BAD_MEDIASIZE', mediaBytes: mediaBytes ?? 0, diskBytes });
  if (mediaBytes !== null) {
    const whole = Number.isInteger(mediaBytes) && mediaBytes % SECTOR_BYTES === 0;
    if (!whole || mediaBytes <= 0 || mediaBytes > DISK_BYTES_MAX) throw bad(0);
  }
  if (await files.exists(local)) {
    const { sizeBytes } = probeDisk(local);
    if (mediaBytes !== null && mediaBytes > sizeBytes) throw bad(sizeBytes);
    await flush(files, local);
    return mediaBytes ?? sizeBytes;
  }
  if (mediaBytes === null) return 0;
  await createSparseFile(local, mediaBytes);
  notes.push(`${options.name}: made the sparse file ${local}`);
  return mediaBytes;
}
