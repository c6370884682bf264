// The values behind the frozen messages: every type, with what may be absent there and not there.
// Numbers have bytes that differ, so that their order and place show.

import { encodeFrame } from '../../src/format/frame.js';
import { packRaw } from '../../src/format/pack.js';
import type { Message, MessageType, Of, PeerFacts } from '../../src/peer/messages.js';
import { rising, zeroFrame } from '../format/golden-files.js';
import { encoded } from './wire.js';

const ROUND = rising(0x30);
const U32 = 0x0102_0304;
const U64 = 0x0001_0203_0405_06;
const FROM = { id: rising(0x50), number: U64, timeMs: 1_795_000_000_123 };
const TO = { id: ROUND, number: U64 + 1, timeMs: 1_795_003_600_456 };
const EPOCH = { id: rising(0x20), number: 2, parent: rising(0x60), node: 'hostä' };
const ENTRY = { chunk: U32, mask: 0x0506, zero: 0x0402, digest: rising(0x70) };

const FACTS: PeerFacts = {
  node: 'a',
  resource: 'vm1',
  target: 'hostb',
  resourceId: rising(0x10),
  role: 'primary',
  epochs: [{ ...EPOCH, number: 1, parent: null }, EPOCH],
  point: FROM,
  proposed: ROUND,
  sizeBytes: 0x0102_0304_0600,
  suspect: true,
  timeoutMs: 20_000,
};
/** Of a side that knows nothing yet. */
const NOTHING: PeerFacts = {
  ...FACTS,
  target: '',
  resourceId: null,
  role: 'init',
  epochs: [],
  point: null,
  proposed: null,
  sizeBytes: 0,
  suspect: false,
};

const BEGIN: Of<'begin'>['begin'] = {
  kind: 'round',
  resource: rising(0x10),
  round: ROUND,
  epoch: EPOCH,
  from: FROM,
  to: TO,
  sizeBytes: 0x0102_0304_0600,
  spaceBytes: U64,
  resumeAt: U32,
  fill: null,
  again: true,
};
const COMMIT: Of<'commit'>['commit'] = {
  round: ROUND,
  from: FROM,
  to: TO,
  frames: U32,
  indexDigest: Uint8Array.from({ length: 32 }, (_, at) => 0x80 + at),
  consistency: 'damaged',
  damaged: [5, U32],
};

const MESSAGES: { readonly [T in MessageType]: readonly Omit<Of<T>, 'type'>[] } = {
  hello: [
    { features: U32, nonce: rising(0x90), facts: FACTS },
    { features: 0, nonce: rising(0x90), facts: NOTHING },
  ],
  welcome: [
    { features: U32, nonce: rising(0x90), session: U32 + 1, facts: FACTS },
    { features: 0, nonce: rising(0x90), session: 1, facts: { ...NOTHING, role: 'secondary' } },
  ],
  refuse: [
    { refusal: 'version', text: 'node b speaks version 1 of the protocol' },
    { refusal: 'two-primaries', text: '' },
  ],
  ping: [{}],
  pong: [{}],
  outcome: [{ round: ROUND }],
  'outcome-is': [{ outcome: 'committed' }, { outcome: 'none' }, { outcome: 'forgotten' }],
  digests: [
    { first: U32, count: 16_384, from: 'table' },
    { first: 0, count: 1, from: 'disk' },
  ],
  'digests-are': [
    { at: TO, first: U32, digests: Buffer.concat([rising(0xa0), rising(0xb0)]) },
    { at: null, first: 0, digests: new Uint8Array(0) },
  ],
  begin: [
    { begin: BEGIN },
    { begin: { ...BEGIN, kind: 'pass', from: null, fill: rising(0xc0), again: false } },
  ],
  begun: [{ round: ROUND, staged: U32 }],
  frame: [{ session: U32, round: ROUND, number: 0, bytes: encodeFrame(zeroFrame(), packRaw) }],
  staged: [{ round: ROUND, frames: U32 }],
  want: [
    { round: ROUND, chunks: [5, U32] },
    { round: ROUND, chunks: [] },
  ],
  commit: [
    { commit: COMMIT },
    { commit: { ...COMMIT, from: null, consistency: 'crash', damaged: [] } },
  ],
  committed: [{ round: ROUND }],
  refused: [
    { round: ROUND, reason: 'no-space', text: 'it needs 5 bytes' },
    { round: new Uint8Array(16), reason: 'gone', text: '' },
  ],
  failed: [{ round: ROUND, code: 'FILE_FAILED', text: 'it was full' }],
  'wait-applied': [{ point: TO }],
  applied: [{ point: TO }],
  'apply-failed': [{ point: TO, text: 'the disk gave EIO' }],
  abandon: [{ round: ROUND }],
  abandoned: [{ round: ROUND }],
  held: [{ first: U32, count: 16_384 }],
  'held-are': [
    { first: U32, entries: [ENTRY, { ...ENTRY, chunk: U32 + 2, mask: 0xffff, zero: 0 }] },
    { first: 0, entries: [] },
  ],
  reuse: [{ session: U32, round: ROUND, number: 7, items: [{ chunk: U32, digest: rising(0x70) }] }],
  doubts: [{ first: U32 }],
  'doubts-are': [
    { complete: true, chunks: [5, U32] },
    { complete: false, chunks: [] },
  ],
  wanted: [{ round: ROUND }],
  chunk: [{ chunk: U32, at: TO }],
  'chunk-is': [{ bytes: rising(0xd0) }, { bytes: new Uint8Array(0) }],
};

/** Request number of a frozen message: the pushes have none, and the beats and greetings. */
const PUSHED: ReadonlySet<string> = new Set([
  ...['hello', 'welcome', 'refuse', 'ping', 'pong', 'frame', 'reuse', 'staged', 'want'],
]);

export interface FrozenMessage {
  readonly request: number;
  readonly message: Message;
}

/** By name of the file: the messages that stand in it, one behind the other. */
export function messageFiles(): Readonly<Record<string, readonly FrozenMessage[]>> {
  const files = Object.entries(MESSAGES).map(([type, bodies]) => {
    const request = PUSHED.has(type) ? 0 : 0x0506_0708;
    const messages = bodies.map((body) => ({ request, message: { type, ...body } as Message }));
    return [`message-${type}-v1.bin`, messages] as const;
  });
  return Object.fromEntries(files);
}

export const madeMessages = (messages: readonly FrozenMessage[]): Uint8Array =>
  Buffer.concat(messages.map(({ request, message }) => encoded(message, request)));
