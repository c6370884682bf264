// What a medium does to a file behind everybody's back: bits that flip, an end that is gone, pages
// and sectors that read as zeroes, a write that never came (an older version of the file stands
// there), the whole file missing. Each by seed; its text repeats it. Offsets are bytes.
import type { Random } from '../../src/base/random.js';
import { SECTOR_BYTES } from '../../src/base/units.js';
import type { CrashWorld } from '../world/memory-files.js';

const PAGE_BYTES = 4096;
const FLIPS_MAX = 8;

export type Kind =
  | ('flip' | 'flips' | 'truncated' | 'emptied' | 'cut in a page')
  | ('removed' | 'zero page' | 'zero sector' | 'older' | 'garbage');

export interface Damage {
  readonly kind: Kind;
  readonly text: string;
  /** What stands there now; null: the file is gone. */
  readonly bytes: Uint8Array | null;
}

/** Kinds by how often they come; every tenth damage or so is one of each rare kind. */
const KINDS: readonly Kind[] = [
  ...(['flip', 'flip', 'flip', 'flip', 'flip', 'flip', 'flip', 'flip'] as const),
  ...(['flips', 'flips', 'truncated', 'truncated', 'cut in a page', 'emptied'] as const),
  ...(['zero page', 'zero page', 'zero sector', 'removed', 'older', 'older'] as const),
];

/** One damage of a file that reads as `bytes`; `olders`: what it has read as before. Null: what the
 * seed chose changes nothing here. */
export function damageOf(
  bytes: Uint8Array,
  olders: readonly Uint8Array[],
  random: Random,
): Damage | null {
  const one = KINDS[random.below(KINDS.length)] ?? 'flip';
  const kind = bytes.length === 0 && one.startsWith('flip') ? 'garbage' : one;
  const made = make(kind, bytes, olders, random);
  return made === null || (made.bytes !== null && Buffer.compare(made.bytes, bytes) === 0)
    ? null
    : { kind, ...made };
}

type Made = Pick<Damage, 'text' | 'bytes'> | null;

function make(kind: Kind, bytes: Uint8Array, olders: readonly Uint8Array[], random: Random): Made {
  if (kind === 'garbage') {
    const length = 1 + random.below(2 * PAGE_BYTES);
    return { text: `${length} bytes of something`, bytes: random.bytes(length) };
  }
  if (kind === 'removed') return { text: 'removed', bytes: null };
  if (kind === 'older') {
    const older = olders[random.below(Math.max(1, olders.length))];
    return older === undefined ? null : { text: 'an older version', bytes: older };
  }
  if (bytes.length === 0) return null; // 'garbage' is for those
  if (kind === 'flip') return flipped(bytes, 1, random);
  if (kind === 'flips') return flipped(bytes, 2 + random.below(FLIPS_MAX - 1), random);
  if (kind === 'emptied') return { text: 'emptied', bytes: new Uint8Array(0) };
  if (kind === 'truncated') return cut(bytes, random.below(bytes.length));
  if (kind === 'cut in a page') {
    const page = random.below(Math.ceil(bytes.length / PAGE_BYTES)) * PAGE_BYTES;
    return cut(bytes, Math.min(bytes.length - 1, page + 1 + random.below(PAGE_BYTES - 1)));
  }
  const grain = kind === 'zero page' ? PAGE_BYTES : SECTOR_BYTES;
  const at = random.below(Math.ceil(bytes.length / grain)) * grain;
  return { text: `${grain} zeroes at ${at}`, bytes: zeroed(bytes, at, at + grain) };
}

// Copies: what is given may be a Buffer, whose slice is a view.
const zeroed = (bytes: Uint8Array, from: number, to: number): Uint8Array =>
  new Uint8Array(bytes).fill(0, from, Math.min(to, bytes.length));

function flipped(bytes: Uint8Array, count: number, random: Random): Made {
  const left = new Uint8Array(bytes);
  const places: string[] = [];
  for (let flip = 0; flip < count; flip += 1) {
    const [at, bit] = [random.below(bytes.length), random.below(8)];
    left[at] = (left[at] ?? 0) ^ (1 << bit);
    places.push(`${at}.${bit}`);
  }
  return { text: `bits ${places.join(', ')}`, bytes: left };
}

const cut = (bytes: Uint8Array, length: number): Made => ({
  text: `cut to ${length} of ${bytes.length}`,
  bytes: new Uint8Array(bytes.subarray(0, length)),
});

/** Does it to `path`, durably; nobody is told. */
export async function inflict(world: CrashWorld, path: string, damage: Damage): Promise<void> {
  if (damage.bytes !== null) {
    world.plant(path, damage.bytes);
    return;
  }
  await world.remove(path);
  world.settle();
}
