// Makes a failing input small: takes pieces away, ever smaller ones, then sets bytes to zero, as
// long as it still fails alike. Where a target mends inputs, the mended one is tried as well.
import { type Random, seededRandom } from '../../src/base/random.js';

type Fails = (input: Uint8Array) => Promise<boolean>;
type Mend = ((input: Uint8Array, random: Random) => Uint8Array) | undefined;

/** The smallest found within `msMax`; `input` itself fails. */
export async function smallest(
  input: Uint8Array,
  fails: Fails,
  mend: Mend,
  msMax: number,
): Promise<Uint8Array> {
  const until = performance.now() + msMax;
  let best = input;
  const take = async (candidate: Uint8Array): Promise<boolean> => {
    const mended = mend?.(new Uint8Array(candidate), seededRandom(1));
    for (const one of mended === undefined ? [candidate] : [candidate, mended]) {
      if (one.length > best.length || Buffer.compare(one, best) === 0) continue;
      if (!(await fails(one))) continue;
      best = one;
      return true;
    }
    return false;
  };
  for (let size = best.length >>> 1; size >= 1; size >>>= 1) {
    for (let at = 0; at < best.length && performance.now() < until; ) {
      const without = Buffer.concat([best.subarray(0, at), best.subarray(at + size)]);
      if (!(await take(without))) at += size;
    }
  }
  for (let at = 0; at < best.length && performance.now() < until; at += 1) {
    if (best[at] === 0) continue;
    const plainer = new Uint8Array(best);
    plainer[at] = 0;
    await take(plainer);
  }
  return best;
}
