// Bytes to messages; the mirror of encode.ts, where the layouts are drawn. Guarantee: whatever
// comes, the result is a message within its limits or PeerError, and nothing is allocated that
// the payload does not hold.
import { checkOf, equalBytes, isZero } from '../base/digest.js';
import { type ChunkIndex, DIGEST_BYTES, SECTOR_BYTES } from '../base/units.js';
import type { FrameEntry } from '../format/changeset.js';
import type { Epoch, RoundId } from '../lineage/lineage.js';
import { Reader } from './cursor.js';
import { PeerError } from './faults.js';
import { checkedBytes, type Header } from './header.js';
import {
  COMMIT_DAMAGED_MAX,
  DIGESTS_CHUNKS_MAX,
  DOUBTS_CHUNKS_MAX,
  EPOCHS_MAX,
  HELD_CHUNKS_MAX,
  REUSE_CHUNKS_MAX,
  TIMEOUT_MS_MIN,
  WANT_CHUNKS_MAX,
} from './limits.js';
import {
  BEGIN_KINDS,
  CONSISTENCIES,
  DIGEST_SOURCES,
  type Envelope,
  type MessageType,
  type Of,
  OUTCOMES,
  type PeerFacts,
  REASONS,
  REFUSALS,
  ROLES,
} from './messages.js';

/** The message of a header and its whole payload. Byte fields are views of `payload`. */
export function decodeMessage(header: Header, payload: Uint8Array, peer: string): Envelope {
  const { type, request, payloadCheck } = header;
  const checked = payload.subarray(0, checkedBytes(type, payload.length));
  if (!equalBytes(payloadCheck, checkOf(checked))) {
    throw new PeerError({
      code: 'PEER_PROTOCOL',
      peer,
      what: `${type} message damaged on the way`,
    });
  }
  const reader = new Reader(payload, type, peer);
  const message = BODIES[type](reader);
  reader.end();
  return { request, message };
}

function readFacts(r: Reader): PeerFacts {
  const names = { node: r.name('node'), resource: r.name('resource'), target: r.name('target') };
  const resourceId = r.optionalId('resource id');
  const role = r.choice(ROLES, 'role');
  const point = r.optionalPoint('point');
  const proposed = r.optionalId('proposed round');
  const sizeBytes = r.size('size');
  const suspect = r.flag('suspect');
  const timeoutMs = r.u32('timeout');
  if (timeoutMs < TIMEOUT_MS_MIN) throw r.broken(`timeout is ${timeoutMs} milliseconds`);
  const count = r.u16('number of epochs');
  if (count > EPOCHS_MAX) throw r.broken(`${count} epochs; ${EPOCHS_MAX} are allowed`);
  const epochs: Epoch[] = [];
  for (let at = 0; at < count; at += 1) epochs.push(r.epoch());
  return { ...names, resourceId, role, epochs, point, proposed, sizeBytes, suspect, timeoutMs };
}

/** Of a disk that is there: whole sectors, at least one (H14). */
function readDiskSize(r: Reader): number {
  const sizeBytes = r.size('size');
  if (sizeBytes > 0 && sizeBytes % SECTOR_BYTES === 0) return sizeBytes;
  throw r.broken(`size is ${sizeBytes} bytes, which no disk has`);
}

/** A list of chunks that ends the message. */
function readChunks(r: Reader, most: number): ChunkIndex[] {
  const count = r.count('count', most);
  expectItems(r, count, 4);
  const chunks: ChunkIndex[] = [];
  for (let at = 0; at < count; at += 1) chunks.push(r.u32('chunk'));
  return chunks;
}

/** Before anything is made of them: `count` items of `itemBytes` are what is left. */
function expectItems(r: Reader, count: number, itemBytes: number): void {
  if (r.leftBytes !== count * itemBytes) throw r.broken('has not as many chunks as it says');
}

/** A range of chunks somebody asks for. */
function readRange(r: Reader, most: number): { first: ChunkIndex; count: number } {
  const first = r.u32('first chunk');
  const count = r.count('count', most);
  if (count === 0) throw r.broken('asks for no chunk');
  if (first + count > 2 ** 32) throw r.broken('asks for chunks beyond any disk');
  return { first, count };
}

const HELD_ENTRY_BYTES = 4 + 2 + 2 + DIGEST_BYTES;

function readHeld(r: Reader): Of<'held-are'> {
  const first = r.u32('first chunk');
  const count = r.count('count', HELD_CHUNKS_MAX);
  expectItems(r, count, HELD_ENTRY_BYTES);
  const entries: FrameEntry[] = [];
  for (let at = 0, least = first; at < count; at += 1) {
    const chunk = r.u32('chunk');
    if (chunk < least) throw r.broken(`chunk ${chunk} comes too late`);
    least = chunk + 1;
    const [mask, zero] = [r.u16('mask'), r.u16('zero blocks')];
    if (mask === 0 || (zero & ~mask) !== 0) throw r.broken(`chunk ${chunk} has impossible masks`);
    entries.push({ chunk, mask, zero, digest: r.id('digest') });
  }
  return { type: 'held-are', first, entries };
}

function readReuse(r: Reader): Of<'reuse'> {
  const facts = { session: r.u32('session'), round: r.id('round'), number: r.u32('number') };
  const count = r.count('count', REUSE_CHUNKS_MAX);
  if (count === 0) throw r.broken('names no chunk');
  expectItems(r, count, 4 + DIGEST_BYTES);
  const items: { chunk: ChunkIndex; digest: Uint8Array }[] = [];
  for (let at = 0; at < count; at += 1) {
    items.push({ chunk: r.u32('chunk'), digest: r.id('digest') });
  }
  return { type: 'reuse', ...facts, items };
}

type Bodies = { readonly [T in MessageType]: (reader: Reader) => Of<T> };

const BODIES: Bodies = {
  hello: (r) => ({
    type: 'hello',
    features: r.u32('features'),
    nonce: r.id('nonce'),
    facts: readFacts(r),
  }),
  welcome: (r) => ({
    type: 'welcome',
    features: r.u32('features'),
    nonce: r.id('nonce'),
    session: r.u32('session'),
    facts: readFacts(r),
  }),
  refuse: (r) => ({ type: 'refuse', refusal: r.choice(REFUSALS, 'refusal'), text: r.text('text') }),
  ping: () => ({ type: 'ping' }),
  pong: () => ({ type: 'pong' }),
  outcome: (r) => ({ type: 'outcome', round: r.id('round') }),
  'outcome-is': (r) => ({ type: 'outcome-is', outcome: r.choice(OUTCOMES, 'outcome') }),
  digests: (r) => ({
    type: 'digests',
    ...readRange(r, DIGESTS_CHUNKS_MAX),
    from: r.choice(DIGEST_SOURCES, 'source'),
  }),
  'digests-are': (r) => {
    const at = r.optionalPoint('point');
    const first = r.u32('first chunk');
    const count = r.count('count', DIGESTS_CHUNKS_MAX);
    return { type: 'digests-are', at, first, digests: r.bytes(count * DIGEST_BYTES, 'digests') };
  },
  begin: (r) => ({
    type: 'begin',
    begin: {
      kind: r.choice(BEGIN_KINDS, 'kind'),
      resource: r.id('resource id'),
      round: r.id('round'),
      epoch: r.epoch(),
      from: r.optionalPoint('from'),
      to: r.point('to'),
      sizeBytes: readDiskSize(r),
      spaceBytes: r.u64('space'),
      resumeAt: r.u32('frames acknowledged'),
      fill: fillOf(r.id('first copy')),
      again: r.flag('again'),
    },
  }),
  begun: (r) => ({ type: 'begun', round: r.id('round'), staged: r.u32('staged frames') }),
  frame: (r) => ({
    type: 'frame',
    session: r.u32('session'),
    round: r.id('round'),
    number: r.u32('number'),
    bytes: r.bytes(r.leftBytes, 'frame'),
  }),
  staged: (r) => ({ type: 'staged', round: r.id('round'), frames: r.u32('frames') }),
  want: (r) => ({ type: 'want', round: r.id('round'), chunks: readChunks(r, WANT_CHUNKS_MAX) }),
  commit: (r) => ({
    type: 'commit',
    commit: {
      round: r.id('round'),
      from: r.optionalPoint('from'),
      to: r.point('to'),
      frames: r.u32('frames'),
      indexDigest: r.bytes(32, 'digest of the index'),
      consistency: r.choice(CONSISTENCIES, 'consistency'),
      damaged: readChunks(r, COMMIT_DAMAGED_MAX),
    },
  }),
  committed: (r) => ({ type: 'committed', round: r.id('round') }),
  refused: (r) => ({
    type: 'refused',
    round: r.id('round'),
    reason: r.choice(REASONS, 'reason'),
    text: r.text('text'),
  }),
  failed: (r) => ({
    type: 'failed',
    round: r.id('round'),
    code: r.name('code'),
    text: r.text('text'),
  }),
  'wait-applied': (r) => ({ type: 'wait-applied', point: r.point('point') }),
  applied: (r) => ({ type: 'applied', point: r.point('point') }),
  'apply-failed': (r) => ({
    type: 'apply-failed',
    point: r.point('point'),
    text: r.text('text'),
  }),
  abandon: (r) => ({ type: 'abandon', round: r.id('round') }),
  abandoned: (r) => ({ type: 'abandoned', round: r.id('round') }),
  held: (r) => ({ type: 'held', ...readRange(r, HELD_CHUNKS_MAX) }),
  'held-are': readHeld,
  reuse: readReuse,
  doubts: (r) => ({ type: 'doubts', first: r.u32('first chunk') }),
  'doubts-are': (r) => ({
    type: 'doubts-are',
    complete: r.flag('complete'),
    chunks: readChunks(r, DOUBTS_CHUNKS_MAX),
  }),
  wanted: (r) => ({ type: 'wanted', round: r.id('round') }),
  chunk: (r) => ({ type: 'chunk', chunk: r.u32('chunk'), at: r.point('point') }),
  'chunk-is': (r) => ({ type: 'chunk-is', bytes: r.bytes(r.leftBytes, 'chunk') }),
};

/** 16 zero bytes: none. */
const fillOf = (id: RoundId): RoundId | null => (isZero(id) ? null : id);
