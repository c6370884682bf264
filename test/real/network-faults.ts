// What goes wrong on a link, one fault at a time, by seed: each makes itself, lasts as long as it
// lasts, and leaves the link as it was. Some last longer than the nodes' timeout. Milliseconds.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/base/random.js';
import type { TamperProxy, Way } from './tamper-proxy.js';

const KIB = 1024;

type Fault = (link: TamperProxy, random: Random) => Promise<void>;

/** Between these, a fault lasts. */
const someMs = (random: Random, from: number, to: number): number => from + random.below(to - from);
const wayOf = (random: Random): Way => (random.below(3) === 0 ? 'down' : 'up');

const FAULTS: Readonly<Record<string, Fault>> = {
  async cut(link) {
    link.cut();
  },
  async refused(link, random) {
    link.closed = true;
    link.cut();
    await sleep(someMs(random, 200, 4500));
    link.closed = false;
  },
  async stalled(link, random) {
    link.stalled = true;
    await sleep(someMs(random, 100, 4500));
    link.stalled = false;
  },
  async slow(link, random) {
    link.bytesPerSecond = someMs(random, 64 * KIB, 2048 * KIB);
    await sleep(someMs(random, 500, 3000));
    link.bytesPerSecond = null;
  },
  async late(link, random) {
    link.delayMs = someMs(random, 10, 150);
    await sleep(someMs(random, 500, 2000));
    link.delayMs = 0;
  },
  async 'half-closed'(link, random) {
    link.halfClose(wayOf(random));
  },
  async corrupted(link, random) {
    // Of a header, a table of digests, or somewhere in a frame.
    const way = wayOf(random);
    const flipped = link.flipped;
    const isFar = way === 'up' && random.below(2) === 0;
    link.corrupt(way, random.below(isFar ? 300 * KIB : 200));
    for (let waited = 0; link.flipped === flipped && waited < 3000; waited += 50) await sleep(50);
    link.corrupt(way, null);
  },
};
/** More often: what only the protocol's own checks stand against. */
const DECK = [...Object.keys(FAULTS), 'corrupted', 'corrupted'];
export const DECK_SIZE = DECK.length;

/** Makes a fault and undoes it: its name. All have had their turn before one comes again. */
export async function networkFault(link: TamperProxy, deck: string[], random: Random) {
  if (deck.length === 0) deck.push(...DECK);
  const [name = ''] = deck.splice(random.below(deck.length), 1);
  await FAULTS[name]?.(link, random);
  return name;
}
