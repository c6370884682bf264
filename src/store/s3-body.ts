// The body of an answer to a GET, in memory, of at most a given length. It comes in pieces, which
// are joined when all are there: an answer that broke off writes nowhere.
import { assert } from '../base/assert.js';
import { type StoreCounts, StoreError } from './store.js';

export type Body = AsyncIterable<Uint8Array> & { destroy(): void };

/** A body that ends before its `length` (null: not told) broke off: STORE_UNREACHABLE, to be asked
 * for again. More than `bytesMax` is STORE_TOO_LARGE. */
export async function received(
  body: Body,
  length: number | null,
  bytesMax: number,
  place: { readonly url: string; readonly key: string },
  counts: StoreCounts,
): Promise<readonly Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let got = 0;
  try {
    for await (const piece of body) {
      pieces.push(piece);
      got += piece.length;
      counts.downBytes += piece.length;
      if (got > bytesMax) break;
    }
  } catch (cause) {
    throw brokeOff(place, `${got} bytes`, cause);
  }
  if (got > bytesMax) {
    body.destroy();
    throw new StoreError({ code: 'STORE_TOO_LARGE', ...place, bytes: got, bytesMax });
  }
  if (length !== null && got !== length) {
    throw brokeOff(place, `${got} of ${length} bytes`, null);
  }
  return pieces;
}

/** One array, at the start of `into` if there is one. */
export function joinedIn(into: Uint8Array | undefined, pieces: readonly Uint8Array[]): Uint8Array {
  if (into === undefined) return Buffer.concat(pieces);
  let at = 0;
  for (const piece of pieces) {
    assert(at + piece.length <= into.length, 'there is room for it');
    into.set(piece, at);
    at += piece.length;
  }
  return into.subarray(0, at);
}

function brokeOff(
  place: { readonly url: string; readonly key: string },
  after: string,
  cause: unknown,
) {
  const text = `its answer broke off after ${after}`;
  const fault = { code: 'STORE_UNREACHABLE', ...place, operation: 'get', text } as const;
  return new StoreError(fault, { cause });
}
