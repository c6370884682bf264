// Material of the peer tests: facts of two nodes, every kind of message by seed, a seed that can be
// repeated, a stream that is fed by hand.
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../src/base/clock.js';
import { CHUNK_BYTES, DISK_BYTES_MAX, SECTOR_BYTES, TIME_MS_MAX } from '../../src/base/units.js';
import type { FrameEntry } from '../../src/format/changeset.js';
import type { Epoch, PointRef } from '../../src/lineage/lineage.js';
import type { ByteStream } from '../../src/net/stream.js';
import {
  BEGIN_KINDS,
  CONSISTENCIES,
  DIGEST_SOURCES,
  type Envelope,
  type Message,
  type MessageType,
  type Of,
  OUTCOMES,
  type PeerFacts,
  REASONS,
  REFUSALS,
  ROLES,
} from '../../src/peer/messages.js';

/** Parameters of fc.assert; HAST_SEED repeats a failure. */
export function seeded(t: TestContext, numRuns: number): { seed: number; numRuns: number } {
  const given = process.env['HAST_SEED'];
  const seed = given === undefined ? systemClock.wallMs() % 2 ** 31 : Number(given);
  t.diagnostic(`HAST_SEED=${seed}`);
  return { seed, numRuns };
}

export const idOf = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);

export const pointOf = (number: number): PointRef => ({
  id: idOf(number),
  number,
  timeMs: Date.UTC(2026, 10, 20, 2, number),
});

export const EPOCH: Epoch = { id: idOf(0xe0), number: 1, parent: null, node: 'a' };

export const factsOf = (node: string, more: Partial<PeerFacts> = {}): PeerFacts => ({
  node,
  resource: 'vm1',
  target: 'b',
  resourceId: idOf(0xaa),
  role: node === 'a' ? 'primary' : 'secondary',
  epochs: [EPOCH],
  point: pointOf(3),
  proposed: null,
  sizeBytes: 64 * CHUNK_BYTES,
  suspect: false,
  timeoutMs: 20_000,
  ...more,
});

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const id = bytes(16);
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const size = fc.integer({ min: 0, max: DISK_BYTES_MAX });
/** Of a disk that there may be. */
const diskSize = fc
  .integer({ min: 1, max: DISK_BYTES_MAX / SECTOR_BYTES })
  .map((sectors) => sectors * SECTOR_BYTES);
const name = fc
  .string({ unit: 'grapheme', maxLength: 40 })
  .filter((s) => Buffer.byteLength(s) < 256);
const text = fc
  .string({ unit: 'grapheme', maxLength: 200 })
  .filter((s) => Buffer.byteLength(s) < 4096);
const time = fc.integer({ min: 0, max: TIME_MS_MAX });
const point: fc.Arbitrary<PointRef> = fc.record({ id, number: u64, timeMs: time });
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null });
const epoch: fc.Arbitrary<Epoch> = fc.record({ id, number: u64, parent: maybe(id), node: name });

const facts: fc.Arbitrary<PeerFacts> = fc.record({
  node: name,
  resource: name,
  target: name,
  resourceId: maybe(id),
  role: fc.constantFrom(...ROLES),
  epochs: fc.array(epoch, { maxLength: 8 }),
  point: maybe(point),
  proposed: maybe(id),
  sizeBytes: size,
  suspect: fc.boolean(),
  timeoutMs: fc.integer({ min: 1000, max: 0xffff_ffff }),
});

const held: fc.Arbitrary<FrameEntry> = fc
  .record({ mask: fc.integer({ min: 1, max: 0xffff }), zero: fc.nat(0xffff), digest: id })
  .map(({ mask, zero, digest }) => ({ chunk: 0, mask, zero: zero & mask, digest }));

/** Entries from `first` on, in steps that differ. */
function ascending(message: Of<'held-are'>): Of<'held-are'> {
  const first = message.first % 2 ** 31;
  let chunk = first - 1;
  const entries = message.entries.map((entry) => {
    chunk += 1 + (entry.mask % 3) * 1000;
    return { ...entry, chunk };
  });
  return { ...message, first, entries };
}

const is = <T extends MessageType>(type: T) => fc.constant(type);

const KINDS: { readonly [T in MessageType]: fc.Arbitrary<Of<T>> } = {
  hello: fc.record({ type: is('hello'), features: u32, nonce: id, facts }),
  welcome: fc.record({ type: is('welcome'), features: u32, nonce: id, session: u32, facts }),
  refuse: fc.record({ type: is('refuse'), refusal: fc.constantFrom(...REFUSALS), text }),
  ping: fc.record({ type: is('ping') }),
  pong: fc.record({ type: is('pong') }),
  outcome: fc.record({ type: is('outcome'), round: id }),
  'outcome-is': fc.record({ type: is('outcome-is'), outcome: fc.constantFrom(...OUTCOMES) }),
  digests: fc.record({
    type: is('digests'),
    first: fc.integer({ min: 0, max: 2 ** 31 }),
    count: fc.integer({ min: 1, max: 16_384 }),
    from: fc.constantFrom(...DIGEST_SOURCES),
  }),
  'digests-are': fc.record({
    type: is('digests-are'),
    at: maybe(point),
    first: u32,
    digests: fc.integer({ min: 0, max: 40 }).chain((count) => bytes(16 * count)),
  }),
  begin: fc.record({
    type: is('begin'),
    begin: fc.record({
      kind: fc.constantFrom(...BEGIN_KINDS),
      resource: id,
      round: id,
      epoch,
      from: maybe(point),
      to: point,
      sizeBytes: diskSize,
      spaceBytes: u64,
      resumeAt: u32,
      fill: maybe(id.filter((bytes) => bytes.some((byte) => byte !== 0))),
      again: fc.boolean(),
    }),
  }),
  begun: fc.record({ type: is('begun'), round: id, staged: u32 }),
  frame: fc.record({
    type: is('frame'),
    session: u32,
    round: id,
    number: u32,
    bytes: fc.uint8Array({ maxLength: 3000 }),
  }),
  staged: fc.record({ type: is('staged'), round: id, frames: u32 }),
  want: fc.record({ type: is('want'), round: id, chunks: fc.array(u32, { maxLength: 50 }) }),
  commit: fc.record({
    type: is('commit'),
    commit: fc.record({
      round: id,
      from: maybe(point),
      to: point,
      frames: u32,
      indexDigest: bytes(32),
      consistency: fc.constantFrom(...CONSISTENCIES),
      damaged: fc.array(u32, { maxLength: 20 }),
    }),
  }),
  committed: fc.record({ type: is('committed'), round: id }),
  refused: fc.record({
    type: is('refused'),
    round: id,
    reason: fc.constantFrom(...REASONS),
    text,
  }),
  failed: fc.record({ type: is('failed'), round: id, code: name, text }),
  'wait-applied': fc.record({ type: is('wait-applied'), point }),
  applied: fc.record({ type: is('applied'), point }),
  'apply-failed': fc.record({ type: is('apply-failed'), point, text }),
  abandon: fc.record({ type: is('abandon'), round: id }),
  abandoned: fc.record({ type: is('abandoned'), round: id }),
  held: fc.record({
    type: is('held'),
    first: fc.integer({ min: 0, max: 2 ** 31 }),
    count: fc.integer({ min: 1, max: 16_384 }),
  }),
  'held-are': fc
    .record({ type: is('held-are'), first: u32, entries: fc.array(held) })
    .map(ascending),
  reuse: fc.record({
    type: is('reuse'),
    session: u32,
    round: id,
    number: u32,
    items: fc.array(fc.record({ chunk: u32, digest: id }), { minLength: 1, maxLength: 40 }),
  }),
  doubts: fc.record({ type: is('doubts'), first: u32 }),
  'doubts-are': fc.record({
    type: is('doubts-are'),
    chunks: fc.array(u32, { maxLength: 50 }),
    complete: fc.boolean(),
  }),
  wanted: fc.record({ type: is('wanted'), round: id }),
  chunk: fc.record({ type: is('chunk'), chunk: u32, at: point }),
  'chunk-is': fc.record({ type: is('chunk-is'), bytes: fc.uint8Array({ maxLength: 3000 }) }),
};

/** Every kind of message, by type. */
export const messageKinds = Object.values(KINDS) as readonly fc.Arbitrary<Message>[];
export const typesCovered = Object.keys(KINDS) as readonly MessageType[];

export const anyEnvelope: fc.Arbitrary<Envelope> = fc.record({
  request: u32,
  message: fc.oneof(...messageKinds),
});

/** A stream whose other end is a list of pieces; then it ends. Counts what was taken. */
export function fedStream(pieces: readonly Uint8Array[]): ByteStream {
  const left = pieces.filter((piece) => piece.length > 0);
  return {
    remote: 'b:1',
    bytesIn: 0,
    bytesOut: 0,
    read: async () => left.shift() ?? null,
    write: async () => {},
    end: async () => {},
    destroy: () => {},
  };
}

/** `whole` in pieces whose lengths repeat `lengths`. */
export function cutUp(whole: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < whole.length; turn += 1) {
    const length = Math.max(1, lengths[turn % Math.max(1, lengths.length)] ?? whole.length);
    pieces.push(whole.subarray(at, at + length));
    at += length;
  }
  return pieces;
}
