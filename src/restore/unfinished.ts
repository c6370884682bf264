// The mark of a restore that has not ended: a small file beside the one that is being made, which
// says of which point it is. Guarantee: it is durable before the file has any content, and goes
// only when all of that is on the medium; so a file with a mark is nothing that anybody could miss,
// and one without it is never taken for an unfinished restore (Q2).
// The mark is one line of JSON. Devices have none: nothing is kept in /dev.
import { dirname } from 'node:path';
import { z } from 'zod';
import type { Files } from '../base/files.js';
import { publish } from '../base/publish.js';
import { bad } from '../format/layout.js';

export const unfinishedPath = (path: string): string => `${path}.hast-restore`;

const BYTES_MAX = 8192;

const Unfinished = z.strictObject({
  hastRestore: z.literal(1),
  /** Url of the archive as it was written, or of a replica the resource: for people. */
  archive: z.string(),
  point: z.strictObject({
    /** 32 hexadecimal digits: what tells points apart, wherever their archive is mounted. */
    id: z.string().regex(/^[0-9a-f]{32}$/),
    number: z.number().int().nonnegative(),
    time: z.string(),
  }),
  sizeBytes: z.number().int().positive(),
  /** Of the file that is being made: another one in its place is no part of this. Numbers of
   * inodes are given again as soon as they are free, so its time of birth is looked at, too. */
  inode: z.string(),
  /** Nanoseconds; null: its file system keeps none, and the file is known by nothing. */
  born: z.string().nullable(),
});

export type Unfinished = Readonly<z.infer<typeof Unfinished>>;

/** Null: there is no mark. Error FORMAT_BAD: something else stands there. */
export async function readUnfinished(files: Files, path: string): Promise<Unfinished | null> {
  const place = unfinishedPath(path);
  const bytes = await files.readWhole(place, BYTES_MAX);
  if (bytes === null) return null;
  const where = { what: 'mark of an unfinished restore', place };
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw bad(where, 'it is no JSON');
  }
  const read = Unfinished.safeParse(value);
  if (read.success) return read.data;
  throw bad(where, 'it is something else, and is left alone; move it away');
}

export const writeUnfinished = (files: Files, path: string, mark: Unfinished): Promise<void> =>
  publish(files, unfinishedPath(path), Buffer.from(`${JSON.stringify(mark)}\n`));

/** It is durable when it returns that there is none. */
export async function removeUnfinished(files: Files, path: string): Promise<void> {
  await files.remove(unfinishedPath(path));
  await files.syncDirectory(dirname(path));
}
