// LIST_META_CONTEXT and SET_META_CONTEXT: what is listed, what is selected, what is malformed, and
// which agreement the transmission phase is given (proto.md, "Metadata querying").
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONTEXTS_MAX, listed, parseMetaQuery, selected } from '../../src/nbd/meta-context.js';
import { Negotiation, type Step } from '../../src/nbd/negotiation.js';
import type { Agreement } from '../../src/nbd/protocol.js';
import { goData, metaData, OPT, type OptionReply, option, optionReplies, words } from './client.js';

const BITMAPS = ['qemu:dirty-bitmap:b', 'qemu:dirty-bitmap:c'];
const CONTEXTS = ['base:allocation', ...BITMAPS];
const many = Array.from({ length: 40 }, (_, index) => `qemu:dirty-bitmap:t${index}`);
const EXPORTS = [
  { name: 'vm1', sizeBytes: 2 ** 30, readOnly: false, contexts: CONTEXTS },
  { name: 'old', sizeBytes: 2 ** 30, readOnly: true, contexts: ['base:allocation'] },
  { name: 'wide', sizeBytes: 2 ** 30, readOnly: true, contexts: many },
];
const [ACK, META] = [1, 4];
const [INVALID, UNKNOWN, TOO_BIG] = [0x8000_0003, 0x8000_0006, 0x8000_0009];
const STRUCTURED = option(OPT.STRUCTURED_REPLY);
const GO = option(OPT.GO, goData('vm1'));
const list = (name: string, ...queries: string[]): Buffer =>
  option(OPT.LIST_META_CONTEXT, metaData(name, ...queries));
const set = (name: string, ...queries: string[]): Buffer =>
  option(OPT.SET_META_CONTEXT, metaData(name, ...queries));

function converse(...input: Buffer[]): { replies: OptionReply[]; last: Step } {
  const negotiation = new Negotiation(() => EXPORTS);
  const last = negotiation.feed(Buffer.concat([words([32, 3]), ...input]));
  return { replies: optionReplies(last.replies), last };
}

/** Types of the replies, and of META_CONTEXT the id and the name. */
const shown = (replies: readonly OptionReply[]): (number | string)[] =>
  replies.map(({ type, data }) =>
    type === META ? `${data.readUInt32BE(0)} ${data.toString('utf8', 4)}` : type,
  );

function agreement(...input: Buffer[]): Agreement {
  const { last } = converse(...input, GO);
  assert.ok(last.next === 'transmit');
  return last.agreement;
}

test('queries are parsed, and every wrong length is told', () => {
  const whole = metaData('vm1', 'base:', '', 'x:y');
  assert.deepEqual(parseMetaQuery(whole), {
    exportName: 'vm1',
    queries: ['base:', '', 'x:y'],
  });
  for (let bytes = 0; bytes < whole.length; bytes += 1) {
    assert.equal(parseMetaQuery(whole.subarray(0, bytes)), null, `${bytes} bytes`);
  }
  assert.equal(parseMetaQuery(Buffer.concat([whole, Buffer.alloc(1)])), null);
  assert.equal(parseMetaQuery(words([32, 0], [32, 0xffff_ffff])), null);
  assert.equal(parseMetaQuery(words([32, 0xffff_ffff], [32, 0])), null);
  assert.equal(parseMetaQuery(metaData('vm1', 'n'.repeat(4097))), null);
  assert.deepEqual(parseMetaQuery(metaData('vm1')), { exportName: 'vm1', queries: [] });
});

test('LIST knows wildcards, SET does not', () => {
  const cases: [queries: string[], listed: string[], selected: string[]][] = [
    [[], CONTEXTS, []],
    [['base:'], ['base:allocation'], []],
    [['qemu:'], BITMAPS, []],
    [['qemu:dirty-bitmap:'], BITMAPS, []],
    [['qemu:allocation-depth'], [], []],
    [['x-other:', 'nonsense', ''], [], []],
    [['base:alloc'], [], []],
    [[...BITMAPS].reverse(), BITMAPS, [...BITMAPS].reverse()],
    [['base:allocation', 'base:', 'base:allocation'], ['base:allocation'], ['base:allocation']],
  ];
  for (const [queries, all, chosen] of cases) {
    assert.deepEqual(listed(CONTEXTS, queries), all, String(queries));
    const ids = selected(CONTEXTS, queries);
    assert.deepEqual(
      ids,
      chosen.map((name, index) => ({ id: index + 1, name })),
    );
  }
  assert.equal(selected(many, many.slice(0, CONTEXTS_MAX))?.length, CONTEXTS_MAX);
  assert.equal(selected(many, many.slice(0, CONTEXTS_MAX + 1)), null);
});

test('contexts are listed with id 0 and selected with ids of their own', () => {
  const { replies } = converse(
    STRUCTURED,
    list('vm1'),
    list('vm1', 'qemu:'),
    set('vm1', ...BITMAPS),
  );
  assert.deepEqual(shown(replies), [
    ACK,
    ...CONTEXTS.map((name) => `0 ${name}`),
    ACK,
    ...BITMAPS.map((name) => `0 ${name}`),
    ACK,
    `1 ${BITMAPS[0]}`,
    `2 ${BITMAPS[1]}`,
    ACK,
  ]);
});

test('without structured replies there are no contexts; malformed and unknown is said', () => {
  assert.deepEqual(shown(converse(list('vm1'), set('vm1', 'base:allocation')).replies), [
    INVALID,
    INVALID,
  ]);
  const { replies } = converse(
    option(OPT.STRUCTURED_REPLY, Buffer.from('x')),
    STRUCTURED,
    STRUCTURED,
    list('vm2'),
    set('vm2', 'base:allocation'),
    option(OPT.LIST_META_CONTEXT),
    option(OPT.SET_META_CONTEXT, metaData('vm1', 'base:allocation').subarray(0, 20)),
    set('wide', ...many),
    set('vm1'),
  );
  assert.deepEqual(shown(replies), [
    INVALID,
    ACK,
    ACK,
    UNKNOWN,
    UNKNOWN,
    INVALID,
    INVALID,
    TOO_BIG,
    ACK,
  ]);
});

test('the agreement: the last selection, for the export that is chosen', () => {
  const base = { id: 1, name: 'base:allocation' };
  assert.deepEqual(agreement(), { structured: false, contexts: [] });
  assert.deepEqual(agreement(STRUCTURED), { structured: true, contexts: [] });
  assert.deepEqual(agreement(STRUCTURED, set('vm1', 'base:allocation')).contexts, [base]);
  const both = agreement(STRUCTURED, set('vm1', 'qemu:dirty-bitmap:c', 'base:allocation'));
  assert.deepEqual(both.contexts, [
    { id: 1, name: 'qemu:dirty-bitmap:c' },
    { id: 2, name: 'base:allocation' },
  ]);
  const of = (...options: Buffer[]): unknown => agreement(STRUCTURED, ...options).contexts;
  assert.deepEqual(of(set('old', 'base:allocation')), [], 'another export');
  assert.deepEqual(of(set('vm1', ...CONTEXTS), set('vm1', 'base:allocation')), [base]);
  assert.deepEqual(of(set('vm1', ...CONTEXTS), set('vm1')), [], 'zero queries select none');
  assert.deepEqual(of(set('vm1', ...CONTEXTS), set('vm2', 'base:allocation')), [], 'a failed one');
  assert.deepEqual(of(set('vm1', ...CONTEXTS), option(OPT.SET_META_CONTEXT)), [], 'malformed');
  assert.deepEqual(of(set('vm1', ...CONTEXTS), list('vm1'), set('vm1', 'base:allocation')), [base]);
});
