// What a node that was primary does when it comes back (H37, H38): every answer of a peer, every
// setting of start-alone, clean and unclean ends, at a start and on an operator's order.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeReturn, type PeerAnswer, rememberedRole } from '../../src/daemon/remembered.js';
import { EMPTY_TARGET } from '../../src/format/resource-state.js';
import type { Epoch } from '../../src/lineage/lineage.js';
import type { PeerFacts } from '../../src/peer/messages.js';

const id = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
const epoch = (number: number, fill: number, node: string): Epoch => ({
  id: id(fill),
  number,
  parent: null,
  node,
});
const RESOURCE = id(9);
const FIRST = epoch(1, 1, 'a');
const MINE = epoch(2, 2, 'a');
const CLEAN = { fingerprint: {}, maps: 0 };

const state = (clean: boolean) => ({
  resource: RESOURCE,
  epochs: [FIRST, MINE],
  clean: clean ? CLEAN : null,
  targets: {},
});

/** This node committed a point to `target`. */
const sentTo = (target: string, clean: boolean) => ({
  ...state(clean),
  targets: {
    [target]: { ...EMPTY_TARGET, point: { id: id(5), number: 7, timeMs: 1 } },
    // Another one's is nothing to b.
    other: { ...EMPTY_TARGET, point: { id: id(6), number: 8, timeMs: 2 } },
  },
});

function peer(target: string, facts: Partial<PeerFacts>): PeerAnswer {
  const theirs: PeerFacts = {
    node: target,
    resource: 'vm1',
    target,
    resourceId: RESOURCE,
    role: 'secondary',
    epochs: [FIRST, MINE],
    point: null,
    proposed: null,
    sizeBytes: 0,
    suspect: false,
    timeoutMs: 1000,
    ...facts,
  };
  return { target, theirs };
}
const silent = (target: string): PeerAnswer => ({ target, theirs: null, why: 'ECONNREFUSED' });

type Facts = Parameters<typeof judgeReturn>[0];
const judged = (facts: Partial<Facts> & Pick<Facts, 'answers'>) =>
  judgeReturn({ state: state(true), startAlone: null, occasion: 'start', ...facts });

test('a peer of our lineage that is no primary lets us serve, whatever came before', () => {
  for (const clean of [true, false]) {
    for (const startAlone of [null, 'serve', 'wait'] as const) {
      for (const role of ['secondary', 'init'] as const) {
        const verdict = judged({ state: state(clean), startAlone, answers: [peer('b', { role })] });
        assert.deepEqual(
          [verdict.kind, verdict.kind === 'serve' && verdict.alone],
          ['serve', false],
        );
      }
    }
  }
});

test('an older replica, an empty one and one that has never heard of us agree', () => {
  const answers = [
    peer('b', { epochs: [FIRST] }),
    peer('c', { resourceId: null, epochs: [] }),
    peer('d', { resourceId: id(8), epochs: [epoch(7, 7, 'x')] }),
  ];
  assert.equal(judged({ answers }).kind, 'serve');
});

test('H38: one that held our point and knows nothing of it now is silence, no consent', () => {
  const lost = [
    peer('b', { role: 'init', resourceId: null, epochs: [] }), // no state at all, see ask-peers.ts
    peer('b', { resourceId: null, epochs: [] }), // made anew since
    peer('b', { resourceId: id(8), epochs: [epoch(7, 7, 'x')] }),
  ];
  for (const answer of lost) {
    assert.deepEqual(judged({ state: sentTo('b', false), answers: [answer] }), {
      kind: 'wait',
      text: 'b has lost what it knew of this resource; the last end was not clean',
    });
    const served = judged({ state: sentTo('b', true), answers: [answer] });
    assert.deepEqual([served.kind, served.kind === 'serve' && served.alone], ['serve', true]);
    const ordered = judged({ state: sentTo('b', false), occasion: 'order', answers: [answer] });
    assert.equal(ordered.kind, 'wait');
    const alone = judged({ state: sentTo('b', false), occasion: 'order-alone', answers: [answer] });
    assert.equal(alone.kind, 'serve');
    assert.equal(judged({ state: sentTo('c', false), answers: [answer] }).kind, 'serve');
  }
});

test('a peer with an epoch unknown here is newer; neither order nor setting outweighs it', () => {
  const theirs = [FIRST, MINE, epoch(3, 3, 'b')];
  for (const occasion of ['start', 'order', 'order-alone'] as const) {
    for (const role of ['secondary', 'init', 'primary'] as const) {
      const answers = [peer('b', { epochs: theirs, role })];
      const verdict = judged({ occasion, startAlone: 'serve', answers });
      assert.equal(verdict.kind, 'newer');
      assert.match(verdict.text, /^b was promoted since \(epoch 3 of node b\)/);
    }
  }
});

test('H37: a fork with the same or a lower number is found by its id', () => {
  for (const number of [1, 2]) {
    const answers = [peer('b', { epochs: [FIRST, epoch(number, 66, 'b')] })];
    assert.equal(judged({ answers }).kind, 'newer');
  }
});

test('a peer that is primary now speaks against it, with whatever epoch', () => {
  for (const facts of [{}, { epochs: [FIRST] }, { resourceId: id(8) }]) {
    const verdict = judged({ answers: [peer('b', { ...facts, role: 'primary' })] });
    assert.deepEqual([verdict.kind, verdict.text], ['newer', 'b is primary']);
  }
});

test('one that objects outweighs any number that agree or are silent', () => {
  const newer = peer('d', { epochs: [epoch(3, 3, 'd')] });
  const answers = [peer('b', {}), silent('c'), newer];
  assert.equal(judged({ answers, startAlone: 'serve' }).kind, 'newer');
});

test('nobody reached: start-alone decides, and without it how hastd ended', () => {
  const kind = (clean: boolean, startAlone: Facts['startAlone'], occasion: Facts['occasion']) =>
    judged({ state: state(clean), startAlone, occasion, answers: [silent('b')] }).kind;
  const table: [boolean, Facts['startAlone'], Facts['occasion'], string][] = [
    [true, null, 'start', 'serve'],
    [true, 'serve', 'start', 'serve'],
    [true, 'wait', 'start', 'wait'],
    [false, null, 'start', 'wait'],
    [false, 'serve', 'start', 'serve'],
    [false, 'wait', 'start', 'wait'],
    [true, null, 'order', 'serve'],
    [true, 'serve', 'order', 'serve'],
    [true, 'wait', 'order', 'serve'],
    [false, null, 'order', 'wait'],
    [false, 'serve', 'order', 'serve'],
    [false, 'wait', 'order', 'wait'],
    [true, null, 'order-alone', 'serve'],
    [true, 'wait', 'order-alone', 'serve'],
    [false, null, 'order-alone', 'serve'],
    [false, 'wait', 'order-alone', 'serve'],
  ];
  for (const [clean, startAlone, occasion, wanted] of table) {
    assert.equal(kind(clean, startAlone, occasion), wanted, `${clean} ${startAlone} ${occasion}`);
  }
});

test('who serves without having reached anybody is alone; the text names who is missing', () => {
  const verdict = judged({ answers: [silent('b'), silent('c')] });
  assert.deepEqual(verdict, {
    kind: 'serve',
    alone: true,
    text: 'not reached: b (ECONNREFUSED), c (ECONNREFUSED)',
  });
  const waits = judged({ state: state(false), answers: [silent('b')] });
  assert.match(waits.text, /not reached: b \(ECONNREFUSED\); the last end was not clean/);
});

test('one agrees and one is silent: the silent one may have been promoted', () => {
  const answers = [peer('b', {}), silent('c')];
  assert.equal(judged({ state: state(false), answers }).kind, 'wait');
  const served = judged({ answers });
  assert.deepEqual([served.kind, served.kind === 'serve' && served.alone], ['serve', false]);
});

test('without an address nobody is asked', () => {
  const verdict = judged({ state: state(false), startAlone: 'wait', answers: [] });
  assert.deepEqual(verdict, { kind: 'serve', alone: false, text: 'no peer has an address' });
});

test('remember off, and the role init, leave nothing to take up', () => {
  assert.equal(rememberedRole({ remembered: 'primary' }, { remember: false }), null);
  assert.equal(rememberedRole({ remembered: 'init' }, { remember: true }), null);
  assert.equal(rememberedRole({ remembered: 'primary' }, { remember: true }), 'primary');
  assert.equal(rememberedRole({ remembered: 'secondary' }, { remember: true }), 'secondary');
});
