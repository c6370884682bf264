// Does an image hold a point of the disk's history? (D2, H5.) A point holds every write answered
// before the cut began, nothing issued after it ended, and of those between, per 4 KiB block, the
// old or the new. And there is one instant in the cut at which all blocks agree: if a client waited
// for A before it issued B, B in the point implies A in the point.
//
// How: what a block shows can come from one or several operations (or the base). Each of them
// allows an interval of instants: from its issue to the answer of the first operation that surely
// overwrote it. A block is right if one of its intervals meets the cut; the point is right if one
// instant of the cut lies in an interval of every block. Nothing is assumed about two operations
// under way at the same time. Stamps as in block-log.ts.
import { isZero } from '../../src/base/digest.js';
import { BLOCK_BYTES } from '../../src/base/units.js';
import { identify } from './block.js';
import type { BlockLog, OperationRecord, Stamp } from './block-log.js';

/**
 * The cut lies somewhere between two stamps: one taken before the round was asked for, one taken
 * when its cut was known to be over. The wider, the less is checked.
 */
export interface CutWindow {
  readonly beganAt: Stamp;
  readonly endedAt: Stamp;
}

export type ViolationKind =
  /** A write answered before the cut began is not there. */
  | 'missing'
  /** Something issued after the cut ended is there. */
  | 'future'
  /** Each block alone would do, but no instant suits all of them. */
  | 'order'
  /** A block of another place. */
  | 'misplaced'
  /** Sectors of different versions, or a changed bit. */
  | 'torn'
  /** Zeroes where nothing made zeroes. */
  | 'zeroed'
  /** Content that nobody wrote. */
  | 'alien';

export interface Violation {
  readonly kind: ViolationKind;
  readonly block: number;
  /** What is there and what should be, for people. */
  readonly text: string;
}

export interface CheckOptions {
  /** False: each block for itself, as after a power loss, where order is not promised. */
  readonly oneInstant?: boolean;
  readonly violationsMax?: number;
  /** Of the image, for a disk that has grown; default: the log's. */
  readonly sizeBytes?: number;
}

/** Fills `into` from `offset` of the image. */
export type ReadImage = (offset: number, into: Uint8Array) => void | Promise<void>;

const PIECE_BYTES = 1024 * 1024;
const VIOLATIONS_MAX = 20;

/** All violations of D2 in an image, at most `violationsMax`; none: a point. */
export async function checkPoint(
  read: ReadImage,
  log: BlockLog,
  cut: CutWindow,
  options: CheckOptions = {},
): Promise<Violation[]> {
  const check = new PointCheck(log, cut);
  const sizeBytes = options.sizeBytes ?? log.sizeBytes;
  for (let offset = 0; offset < sizeBytes; offset += PIECE_BYTES) {
    const piece = new Uint8Array(Math.min(PIECE_BYTES, sizeBytes - offset));
    await read(offset, piece);
    for (let at = 0; at < piece.length; at += BLOCK_BYTES) {
      check.see((offset + at) / BLOCK_BYTES, piece.subarray(at, at + BLOCK_BYTES));
    }
  }
  const found = check.finish(options.oneInstant ?? true);
  return found.slice(0, options.violationsMax ?? VIOLATIONS_MAX);
}

/** The same for an image in memory. */
export const checkImage = (
  image: Uint8Array,
  log: BlockLog,
  cut: CutWindow,
  options: CheckOptions = {},
): Promise<Violation[]> =>
  checkPoint((at, into) => into.set(image.subarray(at, at + into.length)), log, cut, options);

/** Instants at which a block may show what it shows, both ends included. */
interface Interval {
  readonly from: Stamp;
  readonly to: Stamp;
  readonly shown: OperationRecord | null;
  /** What surely overwrote it, answered at `to`. */
  readonly lacks: OperationRecord | null;
}

type Placed = Interval & { readonly block: number };

class PointCheck {
  readonly #log: BlockLog;
  readonly #cut: CutWindow;
  readonly #violations: Violation[] = [];
  /** Per block the intervals that meet the cut; blocks that suit the whole cut are left out. */
  readonly #placed: Placed[][] = [];

  constructor(log: BlockLog, cut: CutWindow) {
    this.#log = log;
    this.#cut = cut;
  }

  see(block: number, bytes: Uint8Array): void {
    const operations = this.#log.operationsOn(block);
    const sources = sourcesOf(this.#log, block, bytes, operations);
    if (typeof sources === 'string') {
      this.#violations.push({ kind: sources, block, text: tellContent(sources, block, bytes) });
      return;
    }
    const intervals = sources.map((shown) => intervalOf(shown, operations));
    const { beganAt, endedAt } = this.#cut;
    const meeting = intervals.filter((one) => one.from <= endedAt && one.to >= beganAt);
    if (meeting.length === 0) {
      this.#violations.push(untimely(block, intervals, this.#cut));
    } else if (!meeting.some((one) => one.from <= beganAt && one.to >= endedAt)) {
      this.#placed.push(meeting.map((one) => ({ ...one, block })));
    }
  }

  finish(oneInstant: boolean): Violation[] {
    if (oneInstant && this.#violations.length === 0) {
      const order = disagreement(this.#placed, this.#cut);
      if (order) this.#violations.push(order);
    }
    return this.#violations;
  }
}

/** Where the content of a block can come from (null: the base), or why it cannot. */
function sourcesOf(
  log: BlockLog,
  block: number,
  bytes: Uint8Array,
  operations: readonly OperationRecord[],
): (OperationRecord | null)[] | ViolationKind {
  const base = log.baseOf(block);
  const isBase = base === null ? isZero(bytes) : Buffer.from(base).equals(bytes);
  const sources: (OperationRecord | null)[] = isBase ? [null] : [];
  const seen = identifyGrown(log, block, bytes);
  if (seen.kind === 'zero') sources.push(...operations.filter((one) => one.kind !== 'write'));
  if (seen.kind === 'version' && seen.identity.seed === log.seed) {
    const { client, version } = seen.identity;
    if (seen.identity.block !== block) return isBase ? sources : 'misplaced';
    const same = (one: OperationRecord) =>
      one.client === client &&
      one.version === version &&
      log.blockOf(one, block).length === seen.lengthBytes;
    sources.push(...operations.filter((one) => one.kind === 'write' && same(one)));
  }
  if (sources.length > 0) return sources;
  if (seen.kind === 'zero') return 'zeroed';
  return seen.kind === 'torn' ? 'torn' : tornOrAlien(log, block, bytes, operations);
}

/** What a block is, or was when it was the short last one of a smaller disk: zeroes follow. */
function identifyGrown(log: BlockLog, block: number, bytes: Uint8Array) {
  for (const lengthBytes of log.lengthsOf(block)) {
    if (lengthBytes >= bytes.length || !isZero(bytes.subarray(lengthBytes))) continue;
    const seen = identify(bytes.subarray(0, lengthBytes));
    if (seen.kind === 'version') return { ...seen, lengthBytes };
  }
  return { ...identify(bytes), lengthBytes: bytes.length };
}

/** Without a head of ours, it may still be made of sectors of what was written here. */
function tornOrAlien(
  log: BlockLog,
  block: number,
  bytes: Uint8Array,
  operations: readonly OperationRecord[],
): ViolationKind {
  const tail = Buffer.from(bytes.subarray(Math.max(0, bytes.length - 64)));
  const ours = operations.some(
    (one) => one.kind === 'write' && tail.equals(log.blockOf(one, block).slice(-64)),
  );
  return ours ? 'torn' : 'alien';
}

function intervalOf(
  shown: OperationRecord | null,
  operations: readonly OperationRecord[],
): Interval {
  const from = shown?.issuedAt ?? Number.NEGATIVE_INFINITY;
  const ended = shown?.endedAt ?? Number.NEGATIVE_INFINITY;
  let lacks: OperationRecord | null = null;
  for (const later of operations) {
    if (later.kind === 'trim' || later.issuedAt <= ended) continue; // advice, or perhaps earlier
    if (later.answeredAt < (lacks?.answeredAt ?? Number.POSITIVE_INFINITY)) lacks = later;
  }
  return { from, to: lacks?.answeredAt ?? Number.POSITIVE_INFINITY, shown, lacks };
}

/** A block that no instant of the cut explains: too old, or from after it. */
function untimely(block: number, intervals: readonly Interval[], cut: CutWindow): Violation {
  const old = intervals.find((one) => one.to < cut.beganAt);
  const kind = old ? 'missing' : 'future';
  const one = old ?? intervals[0];
  const why = old
    ? `and lacks ${tell(one?.lacks)}, but the cut began at ${cut.beganAt}`
    : `but the cut ended at ${cut.endedAt}`;
  return { kind, block, text: `block ${block} shows ${tell(one?.shown)} ${why}` };
}

/** Null if some instant of the cut lies in an interval of every block, else the best try. */
function disagreement(placed: readonly Placed[][], cut: CutWindow): Violation | null {
  // How many blocks agree only changes where an interval begins or has ended.
  const events = placed.flatMap((intervals) =>
    merged(intervals).flatMap(({ from, to }) => [
      { at: Math.max(from, cut.beganAt), step: 1 },
      { at: to, step: -1 },
    ]),
  );
  events.sort((a, b) => a.at - b.at || b.step - a.step); // both ends belong to an interval
  let [agree, best, instant] = [0, 0, cut.beganAt];
  for (const { at, step } of events) {
    agree += step;
    if (agree > best && at <= cut.endedAt) [best, instant] = [agree, at];
  }
  if (best === placed.length) return null;
  const outside = placed.filter(
    (intervals) => !intervals.some((one) => one.from <= instant && instant <= one.to),
  );
  const [odd] = outside[0] ?? [];
  const witness = placed.flat().find((one) => odd && (one.from > odd.to || one.to < odd.from));
  const lines = [odd, witness].map(
    (one) => `block ${one?.block} shows ${tell(one?.shown)}, lacks ${tell(one?.lacks)}`,
  );
  return {
    kind: 'order',
    block: odd?.block ?? 0,
    text: `${outside.length} of ${placed.length} blocks do not agree: ${lines.join('; ')}`,
  };
}

/** Intervals of one block without overlap, so that the block counts once at each instant. */
function merged(intervals: readonly Interval[]): { from: Stamp; to: Stamp }[] {
  const out: { from: Stamp; to: Stamp }[] = [];
  for (const { from, to } of intervals.toSorted((a, b) => a.from - b.from)) {
    const last = out.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else out.push({ from, to });
  }
  return out;
}

function tell(one: OperationRecord | null | undefined): string {
  if (one === undefined) return 'nothing';
  if (one === null) return 'the base';
  const name = one.kind === 'write' ? `version ${one.client}:${one.version}` : one.kind;
  return `${name} (issued ${one.issuedAt}, answered ${one.answeredAt})`;
}

function tellContent(kind: ViolationKind, block: number, bytes: Uint8Array): string {
  const head = Buffer.from(bytes.subarray(0, 48)).toString('hex');
  return `block ${block} is ${kind}: ${head}…`;
}
