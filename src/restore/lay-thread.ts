// Entry of a thread that lays frames into chunks (lay-frames.ts), of one archive.
import { workerData } from 'piscina';
import { keysOf } from '../format/archive-record.js';
import { layHere } from './lay-frames.js';

/** What a thread is told when it begins. */
export interface LayThreadData {
  /** Of the archive, 32 bytes; null: it is not sealed. */
  readonly dataKey: Uint8Array | null;
}

const { dataKey } = workerData as LayThreadData;

export default layHere(keysOf(dataKey));
