// Messages to bytes. Every payload is drawn once, here, in the order of its fields; decode.ts reads
// the same. Layouts of point, epoch, name and text: cursor.ts.
import { assert } from '../base/assert.js';
import { CHUNK_BYTES, type ChunkIndex, DIGEST_BYTES } from '../base/units.js';
import { FRAME_BYTES_MAX } from '../format/changeset.js';
import { Writer } from './cursor.js';
import { encodeHeader } from './header.js';
import {
  COMMIT_DAMAGED_MAX,
  DIGESTS_CHUNKS_MAX,
  DOUBTS_CHUNKS_MAX,
  EPOCHS_MAX,
  HELD_CHUNKS_MAX,
  REUSE_CHUNKS_MAX,
  WANT_CHUNKS_MAX,
} from './limits.js';
import {
  BEGIN_KINDS,
  CONSISTENCIES,
  DIGEST_SOURCES,
  type Envelope,
  type MessageType,
  NO_ROUND,
  type Of,
  OUTCOMES,
  type PeerFacts,
  REASONS,
  REFUSALS,
  ROLES,
} from './messages.js';

/** The pieces of one message, to be written in order. A frame's bytes are not copied. */
export function encodeMessage({ request, message }: Envelope): readonly Uint8Array[] {
  const writer = new Writer();
  write(writer, message);
  const payload = writer.done();
  if (message.type !== 'frame') {
    return [encodeHeader(message.type, request, payload.length, payload), payload];
  }
  assert(message.bytes.length <= FRAME_BYTES_MAX, 'a frame is within its limit');
  const bytes = payload.length + message.bytes.length;
  return [encodeHeader('frame', request, bytes, payload), payload, message.bytes];
}

function write<T extends MessageType>(writer: Writer, message: Of<T> & { readonly type: T }): void {
  const writeBody: (writer: Writer, message: Of<T>) => void = BODIES[message.type];
  writeBody(writer, message);
}

// facts: node, resource, target: names; 1 has id, 16 resource id; 1 role; 1 has point, 32 point;
//        1 has proposed, 16 proposed; 8 size; 1 suspect; 4 timeout ms; 2 epochs; epoch...
function writeFacts(writer: Writer, facts: PeerFacts): void {
  writer.name(facts.node);
  writer.name(facts.resource);
  writer.name(facts.target);
  writer.optionalId(facts.resourceId);
  writer.choice(ROLES, facts.role);
  writer.optionalPoint(facts.point);
  writer.optionalId(facts.proposed);
  writer.u64(facts.sizeBytes);
  writer.flag(facts.suspect);
  writer.u32(facts.timeoutMs);
  const epochs = facts.epochs.slice(-EPOCHS_MAX);
  writer.u16(epochs.length);
  for (const epoch of epochs) writer.epoch(epoch);
}

// 4 count, 4 chunk...
function writeChunks(writer: Writer, chunks: readonly ChunkIndex[], most: number): void {
  assert(chunks.length <= most, 'a list of chunks is bounded');
  writer.u32(chunks.length);
  for (const chunk of chunks) writer.u32(chunk);
}

type Bodies = { readonly [T in MessageType]: (writer: Writer, message: Of<T>) => void };

const BODIES: Bodies = {
  // 4 features, 16 nonce, facts
  hello: (w, m) => {
    w.u32(m.features);
    w.id(m.nonce);
    writeFacts(w, m.facts);
  },
  // 4 features, 16 nonce, 4 session, facts
  welcome: (w, m) => {
    w.u32(m.features);
    w.id(m.nonce);
    w.u32(m.session);
    writeFacts(w, m.facts);
  },
  // 1 refusal, text
  refuse: (w, m) => {
    w.choice(REFUSALS, m.refusal);
    w.text(m.text);
  },
  ping: () => {},
  pong: () => {},
  // 16 round
  outcome: (w, m) => w.id(m.round),
  // 1 outcome
  'outcome-is': (w, m) => w.choice(OUTCOMES, m.outcome),
  // 4 first chunk, 4 count, 1 source
  digests: (w, m) => {
    assert(m.count >= 1 && m.count <= DIGESTS_CHUNKS_MAX, 'digests are asked for in pieces');
    w.u32(m.first);
    w.u32(m.count);
    w.choice(DIGEST_SOURCES, m.from);
  },
  // 1 has point, 32 point, 4 first chunk, 4 count, 16 digest...
  'digests-are': (w, m) => {
    const count = m.digests.length / DIGEST_BYTES;
    assert(Number.isInteger(count) && count <= DIGESTS_CHUNKS_MAX, 'digests are whole');
    w.optionalPoint(m.at);
    w.u32(m.first);
    w.u32(count);
    w.bytes(m.digests);
  },
  // 1 kind, 16 resource, 16 round, epoch, 1 has from, 32 from, 32 to, 8 size, 8 space,
  // 4 frames acknowledged before, 16 first copy or zeroes, 1 again
  begin: (w, { begin }) => {
    w.choice(BEGIN_KINDS, begin.kind);
    w.id(begin.resource);
    w.id(begin.round);
    w.epoch(begin.epoch);
    w.optionalPoint(begin.from);
    w.point(begin.to);
    w.u64(begin.sizeBytes);
    w.u64(begin.spaceBytes);
    w.u32(begin.resumeAt);
    w.id(begin.fill ?? NO_ROUND);
    w.flag(begin.again);
  },
  // 16 round, 4 staged frames
  begun: (w, m) => {
    w.id(m.round);
    w.u32(m.staged);
  },
  // 4 session, 16 round, 4 number; the frame's bytes follow
  frame: (w, m) => {
    w.u32(m.session);
    w.id(m.round);
    w.u32(m.number);
  },
  // 16 round, 4 frames
  staged: (w, m) => {
    w.id(m.round);
    w.u32(m.frames);
  },
  // 16 round, 4 count, 4 chunk...
  want: (w, m) => {
    w.id(m.round);
    writeChunks(w, m.chunks, WANT_CHUNKS_MAX);
  },
  // 16 round, 1 has from, 32 from, 32 to, 4 frames, 32 digest of the index, 1 consistency,
  // 4 damaged chunks, 4 chunk...
  commit: (w, { commit }) => {
    assert(commit.indexDigest.length === 32, 'the digest of the index has 32 bytes');
    w.id(commit.round);
    w.optionalPoint(commit.from);
    w.point(commit.to);
    w.u32(commit.frames);
    w.bytes(commit.indexDigest);
    w.choice(CONSISTENCIES, commit.consistency);
    writeChunks(w, commit.damaged, COMMIT_DAMAGED_MAX);
  },
  // 16 round
  committed: (w, m) => w.id(m.round),
  // 16 round, 1 reason, text
  refused: (w, m) => {
    w.id(m.round);
    w.choice(REASONS, m.reason);
    w.text(m.text);
  },
  // 16 round, name code, text
  failed: (w, m) => {
    w.id(m.round);
    w.name(m.code);
    w.text(m.text);
  },
  // 32 point
  'wait-applied': (w, m) => w.point(m.point),
  // 32 point
  applied: (w, m) => w.point(m.point),
  // 32 point, text
  'apply-failed': (w, m) => {
    w.point(m.point);
    w.text(m.text);
  },
  // 16 round
  abandon: (w, m) => w.id(m.round),
  // 16 round
  abandoned: (w, m) => w.id(m.round),
  // 4 first chunk, 4 count
  held: (w, m) => {
    assert(m.count >= 1 && m.count <= HELD_CHUNKS_MAX, 'what is held is asked for in pieces');
    w.u32(m.first);
    w.u32(m.count);
  },
  // 4 first chunk, 4 count, and for each: 4 chunk, 2 mask, 2 zero, 16 digest
  'held-are': (w, m) => {
    assert(m.entries.length <= HELD_CHUNKS_MAX, 'a list of what is held is bounded');
    w.u32(m.first);
    w.u32(m.entries.length);
    for (const { chunk, mask, zero, digest } of m.entries) {
      w.u32(chunk);
      w.u16(mask);
      w.u16(zero);
      w.id(digest);
    }
  },
  // 4 session, 16 round, 4 number, 4 count, and for each: 4 chunk, 16 digest
  reuse: (w, m) => {
    const count = m.items.length;
    assert(count >= 1 && count <= REUSE_CHUNKS_MAX, 'a frame of reused chunks is bounded');
    w.u32(m.session);
    w.id(m.round);
    w.u32(m.number);
    w.u32(count);
    for (const { chunk, digest } of m.items) {
      w.u32(chunk);
      w.id(digest);
    }
  },
  // 4 first chunk
  doubts: (w, m) => w.u32(m.first),
  // 1 complete, 4 count, 4 chunk...
  'doubts-are': (w, m) => {
    w.flag(m.complete);
    writeChunks(w, m.chunks, DOUBTS_CHUNKS_MAX);
  },
  // 16 round
  wanted: (w, m) => w.id(m.round),
  // 4 chunk, 32 point
  chunk: (w, m) => {
    w.u32(m.chunk);
    w.point(m.at);
  },
  // the bytes; none: it cannot be had
  'chunk-is': (w, m) => {
    assert(m.bytes.length <= CHUNK_BYTES, 'a chunk has at most 64 KiB');
    w.bytes(m.bytes);
  },
};
