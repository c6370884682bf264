// TARGET.dirty in and out of memory: the union of a target's frozen and pending maps, published
// whole (H9). What a crash leaves is the last published one; its reader either gets all of it or
// a typed error, and the caller then doubts the whole disk.
import { dirname } from 'node:path';
import type { Files } from '../base/files.js';
import { BLOCKS_PER_CHUNK, blockCount, CHUNK_BYTES } from '../base/units.js';
import { FormatError } from '../format/changeset.js';
import {
  type DirtyHeader,
  encodeDirty,
  MAP_PAGE_BYTES,
  type MapPage,
  openDirty,
} from '../format/dirty-file.js';
import { BLOCKS_PER_PAGE, type BlockMap } from './block-map.js';

/** Publishes the union of `maps` at `path`, durably and atomically. */
export async function publishDirty(
  files: Files,
  path: string,
  facts: { readonly resource: Uint8Array; readonly generation: number },
  maps: readonly BlockMap[],
): Promise<void> {
  const sizeBytes = maps[0]?.memory.sizeBytes ?? 0;
  const header: DirtyHeader = { ...facts, sizeBytes };
  const temporary = `${path}.new`;
  const handle = await files.open(temporary, 'truncate');
  try {
    let offset = 0;
    for (const piece of encodeDirty(header, unionPages(maps))) {
      await handle.write(piece, offset);
      offset += piece.length;
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await files.rename(temporary, path);
  await files.syncDirectory(dirname(path));
}

/** ORs the published map into `into`. One of a smaller disk is from before a growth (H14): its last
 * chunk, which may have been short, and all that came after it are marked too. False: absent, or
 * not of this resource. Errors FORMAT_BAD, also of one of a generation below `generationMin`, and
 * FORMAT_VERSION; `into` is then partly filled. */
export async function loadDirty(
  files: Files,
  path: string,
  resource: Uint8Array,
  into: BlockMap,
  generationMin = 0,
): Promise<boolean> {
  if (!(await files.exists(path))) return false;
  const handle = await files.open(path, 'read');
  try {
    const reader = await openDirty(handle);
    const { sizeBytes } = into.memory;
    const same = Buffer.compare(reader.header.resource, resource) === 0;
    const before = reader.header.sizeBytes;
    if (!same || before > sizeBytes) return false;
    expectPublished(reader.header.generation, generationMin, path);
    for await (const page of reader.pages()) orPage(into, page, path);
    if (before < sizeBytes) {
      const lastChunk = Math.floor((before - 1) / CHUNK_BYTES);
      into.mark(lastChunk * BLOCKS_PER_CHUNK, blockCount(sizeBytes) - 1);
    }
    return true;
  } finally {
    await handle.close();
  }
}

/** A write of it was lost when it is older. */
function expectPublished(generation: number, generationMin: number, place: string): void {
  if (generation >= generationMin) return;
  const why = `it is of generation ${generation}, and one of ${generationMin} was published`;
  throw new FormatError({ code: 'FORMAT_BAD', what: 'dirty map', place, why });
}

function orPage(into: BlockMap, { page, bits }: MapPage, place: string): void {
  if (page >= into.pages) {
    const why = `page ${page} lies beyond the disk`;
    throw new FormatError({ code: 'FORMAT_BAD', what: 'dirty map', place, why });
  }
  if (bits === 'ones') {
    into.markPage(page);
    return;
  }
  const words = new Int32Array(bits.slice().buffer);
  const first = (page * BLOCKS_PER_PAGE) / 32;
  words.forEach((word, at) => {
    if (word !== 0) into.orWord(first + at, word);
  });
}

function* unionPages(maps: readonly BlockMap[]): Generator<MapPage> {
  const pages = new Set(maps.flatMap((map) => [...map.setPages()]));
  for (const page of [...pages].sort((a, b) => a - b)) {
    if (maps.some((map) => map.isFullPage(page))) {
      yield { page, bits: 'ones' };
      continue;
    }
    const words = new Int32Array(MAP_PAGE_BYTES / 4);
    for (const map of maps) map.orPageInto(page, words);
    if (words.some((word) => word !== 0)) yield { page, bits: new Uint8Array(words.buffer) };
  }
}
