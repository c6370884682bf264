// What a reader of an old point may be told instead of its content.
import { errorClass } from '../base/errors.js';
import { CHUNK_BYTES } from '../base/units.js';

export type HistoryFault =
  /** It is not read any more: its reader was closed, or the role has ended. */
  | { code: 'POINT_CLOSED'; resource: string; number: number }
  | { code: 'POINT_READERS'; resource: string; readersMax: number }
  | { code: 'POINT_CHUNK_LOST'; resource: string; number: number; chunk: number; offset: number }
  | {
      code: 'POINT_CHUNK_BAD';
      resource: string;
      number: number;
      chunk: number;
      offset: number;
      why: string;
    };

const placeOf = (f: { resource: string; number: number; chunk: number }): string =>
  `${f.resource}@${f.number}: the ${CHUNK_BYTES / 1024} KiB at byte ${f.chunk * CHUNK_BYTES}`;

export const HistoryError = errorClass<HistoryFault>('HistoryError', {
  POINT_CLOSED: (f) =>
    `${f.resource}@${f.number}: is not read any more: ${f.resource} has left its role here, or ` +
    'the reading was ended',
  POINT_READERS: (f) =>
    `${f.resource}: ${f.readersMax} readers of old points are open, which is the most; ` +
    'end one of them first',
  POINT_CHUNK_LOST: (f) =>
    `${placeOf(f)} are lost: the disk had changed behind our back before they were kept; ` +
    'a neighbouring point may have them',
  POINT_CHUNK_BAD: (f) => `${placeOf(f)} are damaged: ${f.why}`,
});
