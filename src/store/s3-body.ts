// The body of an answer to a GET, in memory, of at most a given length.
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
): Promise<Uint8Array> {
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
  return Buffer.concat(pieces, got);
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
