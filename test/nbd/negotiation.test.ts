// Fixed newstyle negotiation: a table of conversations (conversations.ts), each also fed byte by
// byte, what the answers say, and a fuzzer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemRandom } from '../../src/base/random.js';
import {
  greeting,
  Negotiation,
  OPTION_DRAIN_BYTES_MAX,
  type Step,
} from '../../src/nbd/negotiation.js';
import { type Agreement, SIMPLE_AGREEMENT } from '../../src/nbd/protocol.js';
import { goData, metaData, OPT, option, optionReplies, words } from './client.js';
import { conversations, ERR, SERVER } from './conversations.js';

const EXPORTS = [
  {
    name: 'vm1',
    sizeBytes: 10 * 2 ** 30 + 512,
    readOnly: false,
    contexts: ['base:allocation', 'qemu:dirty-bitmap:b'],
  },
  { name: 'vm1@42', sizeBytes: 2 ** 41, readOnly: true, contexts: ['base:allocation'] },
];
// HAS_FLAGS FLUSH FUA TRIM WRITE_ZEROES CAN_MULTI_CONN CACHE FAST_ZERO
const WRITABLE = 0b1101_0110_1101;
const READ_ONLY = 0b0101_0000_1111; // HAS_FLAGS READ_ONLY FLUSH FUA CAN_MULTI_CONN CACHE
const SEND_DF = 0b1000_0000;
const FLAGS = words([32, 3]);

interface Outcome {
  readonly replies: Buffer;
  readonly last: Step;
}

/** Feeds `input` in pieces of `pieceBytes` until the negotiation ends or the input does. */
function converse(input: Uint8Array, pieceBytes = input.length): Outcome {
  const negotiation = new Negotiation(() => EXPORTS);
  const replies: Buffer[] = [];
  let last: Step = { next: 'more', replies: Buffer.alloc(0) };
  for (let at = 0; at < input.length && last.next === 'more'; at += pieceBytes) {
    last = negotiation.feed(input.subarray(at, at + pieceBytes));
    replies.push(last.replies);
  }
  return { replies: Buffer.concat(replies), last };
}

const typesOf = (replies: Buffer): number[] => optionReplies(replies).map((one) => one.type);

const endOf = (step: Step): string =>
  step.next === 'more'
    ? 'more'
    : step.next === 'close'
      ? step.reason
      : `transmit ${step.exportName}`;

const agreementOf = (step: Step): Agreement =>
  step.next === 'transmit' ? step.agreement : SIMPLE_AGREEMENT;

test('the greeting offers fixed newstyle without zeroes', () => {
  assert.equal(greeting().toString('latin1'), 'NBDMAGICIHAVEOPT\x00\x03');
});

for (const { title, input, end, types } of conversations) {
  for (const pieceBytes of [undefined, 1, 7]) {
    test(`${title}, fed ${pieceBytes ?? 'all'} at a time`, () => {
      const { replies, last } = converse(Buffer.concat([FLAGS, ...input]), pieceBytes);
      assert.equal(endOf(last), end);
      assert.deepEqual(typesOf(replies), types);
    });
  }
}

test('LIST names every export', () => {
  const { replies } = converse(Buffer.concat([FLAGS, option(OPT.LIST)]));
  const names = optionReplies(replies)
    .filter((one) => one.type === SERVER)
    .map((one) => {
      assert.equal(one.data.readUInt32BE(0), one.data.length - 4);
      return one.data.toString('utf8', 4);
    });
  assert.deepEqual(names, ['vm1', 'vm1@42']);
});

test('DF is offered once structured replies are agreed on', () => {
  const structured = option(OPT.STRUCTURED_REPLY);
  const info = option(OPT.INFO, goData('vm1'));
  const { replies } = converse(Buffer.concat([FLAGS, info, structured, info]));
  const exports = optionReplies(replies).filter((one) => one.data.length === 12);
  const flags = exports.map((one) => one.data.readUInt16BE(10));
  assert.deepEqual(flags, [WRITABLE, WRITABLE | SEND_DF]);
  const choose = option(OPT.EXPORT_NAME, Buffer.from('vm1'));
  const named = converse(Buffer.concat([FLAGS, structured, choose]));
  assert.equal(named.replies.readUInt16BE(20 + 8), WRITABLE | SEND_DF);
  assert.deepEqual(agreementOf(named.last), { structured: true, contexts: [] });
});

test('INFO and GO say size, flags and block sizes', () => {
  for (const [name, size, flags] of [
    ['vm1', 10n * 2n ** 30n + 512n, WRITABLE],
    ['vm1@42', 2n ** 41n, READ_ONLY],
  ] as const) {
    const { replies } = converse(Buffer.concat([FLAGS, option(OPT.INFO, goData(name, 1, 3))]));
    const data = optionReplies(replies).map((one) => one.data);
    assert.deepEqual(data[0], words([16, 0], [64, size], [16, flags]));
    assert.deepEqual(data[1], Buffer.concat([words([16, 1]), Buffer.from(name)]));
    assert.deepEqual(data[2], words([16, 3], [32, 1], [32, 4096], [32, 2 ** 25]));
  }
});

test('EXPORT_NAME ends with the export, padded unless the client said not to', () => {
  const choose = option(OPT.EXPORT_NAME, Buffer.from('vm1'));
  const head = words([64, 10n * 2n ** 30n + 512n], [16, WRITABLE]);
  for (const [flags, zeroes] of [
    [3, 0],
    [1, 124],
    [0, 124], // newstyle that is not fixed: the only option such a client may use
  ] as const) {
    const { replies, last } = converse(Buffer.concat([words([32, flags]), choose]));
    assert.equal(endOf(last), 'transmit vm1');
    assert.deepEqual(replies, Buffer.concat([head, Buffer.alloc(zeroes)]));
  }
});

test('unknown client flags, and options without fixed newstyle, end the connection', () => {
  for (const flags of [4, 7, 0x8000_0000, 0xffff_ffff]) {
    assert.equal(endOf(converse(words([32, flags])).last), 'bad-flags');
  }
  const { last } = converse(Buffer.concat([words([32, 2]), option(OPT.LIST)]));
  assert.equal(endOf(last), 'bad-flags');
});

test('what follows GO is handed on as a copy', () => {
  const early = Buffer.from('the first requests');
  const input = Buffer.concat([FLAGS, option(OPT.GO, goData('vm1')), early]);
  const { last } = converse(input);
  assert.ok(last.next === 'transmit');
  input.fill(0);
  assert.equal(Buffer.from(last.leftover).toString(), 'the first requests');
});

test('exports are looked up anew for each option', () => {
  let offered = [...EXPORTS];
  const negotiation = new Negotiation(() => offered);
  negotiation.feed(FLAGS);
  offered = [];
  const step = negotiation.feed(option(OPT.GO, goData('vm1')));
  assert.deepEqual(typesOf(step.replies), [ERR(6)]);
});

test('a fuzzed client makes no exception and no large reply, however it is cut', (t) => {
  const seed = Number(process.env['HAST_SEED'] ?? systemRandom.below(2 ** 31));
  t.diagnostic(`HAST_SEED=${seed}`);
  const anyOption = fc.oneof(
    fc
      .tuple(fc.integer({ min: 0, max: 12 }), fc.uint8Array({ maxLength: 64 }))
      .map(([number, data]) => option(number, data)),
    fc
      .tuple(fc.constantFrom(6, 7), fc.string(), fc.array(fc.nat(9), { maxLength: 4 }))
      .map(([number, name, wants]) => option(number, goData(name, ...wants))),
    fc.constantFrom(option(OPT.GO, goData('vm1')), option(OPT.LIST), option(8)),
    fc
      .tuple(
        fc.constantFrom(9, 10),
        fc.constantFrom('vm1', 'vm1@42', 'vm2'),
        fc.array(
          fc.oneof(fc.string(), fc.constantFrom('base:', 'base:allocation', 'qemu:', 'qemu:x')),
          { maxLength: 5 },
        ),
        fc.nat(9),
      )
      .map(([number, name, queries, cut]) => {
        const data = metaData(name, ...queries);
        return option(number, cut === 0 ? data.subarray(0, data.length - 3) : data);
      }),
    fc
      .tuple(fc.nat(0xffff_ffff), fc.nat(OPTION_DRAIN_BYTES_MAX * 2))
      .map(([number, bytes]) =>
        Buffer.concat([Buffer.from('IHAVEOPT'), words([32, number], [32, bytes])]),
      ),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(0, 1, 2, 3, 3, 3, 3, 9),
      fc.array(anyOption, { maxLength: 12 }),
      fc.integer({ min: 1, max: 50 }),
      (flags, options, pieceBytes) => {
        const input = Buffer.concat([words([32, flags]), ...options]);
        const whole = converse(input);
        const cut = converse(input, pieceBytes);
        assert.deepEqual(cut.replies, whole.replies);
        assert.equal(endOf(cut.last), endOf(whole.last));
        assert.deepEqual(agreementOf(cut.last), agreementOf(whole.last));
        const { structured, contexts } = agreementOf(whole.last);
        assert.ok(structured || contexts.length === 0);
        assert.ok(contexts.length <= 2);
        assert.ok(whole.replies.length < 400 * (options.length + 1));
      },
    ),
    { seed, numRuns: 500 },
  );
});
