// Bytes to messages; the mirror of encode.ts, where the layouts are drawn. Guarantee: whatever
// comes, the result is a message within its limits or PeerError, and nothing is allocated that
// the payload does not hold.
import { checkOf, equalBytes } from '../base/digest.js';
import { DIGEST_BYTES } from '../base/units.js';
import type { Epoch } from '../lineage/lineage.js';
import { Reader } from './cursor.js';
import { PeerError } from './faults.js';
import { checkedBytes, type Header } from './header.js';
import { DIGESTS_CHUNKS_MAX, EPOCHS_MAX, TIMEOUT_MS_MIN, WANT_CHUNKS_MAX } from './limits.js';
import {
  BEGIN_KINDS,
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
  digests: (r) => {
    const first = r.u32('first chunk');
    const count = r.count('count', DIGESTS_CHUNKS_MAX);
    if (count === 0) throw r.broken('asks for no chunk');
    if (first + count > 2 ** 32) throw r.broken('asks for chunks beyond any disk');
    return { type: 'digests', first, count, from: r.choice(DIGEST_SOURCES, 'source') };
  },
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
      sizeBytes: r.size('size'),
      spaceBytes: r.u64('space'),
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
  want: (r) => {
    const round = r.id('round');
    const count = r.count('count', WANT_CHUNKS_MAX);
    if (r.leftBytes !== 4 * count) throw r.broken('has not as many chunks as it says');
    const chunks: number[] = [];
    for (let at = 0; at < count; at += 1) chunks.push(r.u32('chunk'));
    return { type: 'want', round, chunks };
  },
  commit: (r) => ({
    type: 'commit',
    commit: {
      round: r.id('round'),
      from: r.optionalPoint('from'),
      to: r.point('to'),
      frames: r.u32('frames'),
      indexDigest: r.bytes(32, 'digest of the index'),
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
};
