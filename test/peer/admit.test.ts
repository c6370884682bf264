// Who is let in: the table of refusals, and that each sentence says what to do.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeCaller, judgePeers, type LocalResource } from '../../src/peer/admit.js';
import { describePeerError, PeerError, refusalText } from '../../src/peer/faults.js';
import { type PeerFacts, REFUSALS, type Refusal } from '../../src/peer/messages.js';
import { factsOf } from './material.js';

const local = (more: Partial<PeerFacts> = {}, insecure = false): LocalResource => ({
  facts: factsOf('b', more),
  insecure,
});
const SECURE = { identity: 'vm1' };
const PLAIN = { identity: null };

interface Case {
  readonly title: string;
  readonly here: LocalResource | null;
  readonly theirs?: Partial<PeerFacts>;
  readonly proof?: { readonly identity: string | null };
  readonly refusal: Refusal | null;
  readonly text?: RegExp;
}

const CASES: readonly Case[] = [
  { title: 'primary and secondary', here: local(), refusal: null },
  {
    title: 'the secondary dials',
    here: local({ role: 'primary' }),
    theirs: { role: 'secondary' },
    refusal: null,
  },
  { title: 'plain where that is allowed', here: local({}, true), proof: PLAIN, refusal: null },
  { title: 'TLS where plain is allowed too', here: local({}, true), refusal: null },
  { title: 'a larger secondary (H14)', here: local({ sizeBytes: 2 ** 40 }), refusal: null },
  { title: 'a secondary without a disk yet', here: local({ sizeBytes: 0 }), refusal: null },
  {
    title: 'no such resource',
    here: null,
    refusal: 'unknown-resource',
    text: /node b has no resource vm1 \(is it spelled alike in both files\?\)/,
  },
  {
    title: 'plain to TLS only',
    here: local(),
    proof: PLAIN,
    refusal: 'secret-needed',
    text: /only with its secret \(set "secret" on both nodes/,
  },
  {
    title: 'the key of another resource',
    here: local({}, true),
    proof: { identity: 'vm2' },
    refusal: 'wrong-resource',
    text: /the key is that of resource vm2, the request for vm1/,
  },
  { title: 'itself', here: local(), theirs: { node: 'b' }, refusal: 'same-node', text: /"remote"/ },
  {
    title: 'two primaries',
    here: local({ role: 'primary' }),
    refusal: 'two-primaries',
    text: /vm1 is primary on node b and at the other end too.*stop the guest of one/,
  },
  { title: 'two secondaries', here: local(), theirs: { role: 'secondary' }, refusal: 'role' },
  { title: 'init here', here: local({ role: 'init' }), refusal: 'role', text: /is init on node b/ },
  {
    title: 'a former primary, now init (H39)',
    here: local(),
    theirs: { role: 'init' },
    refusal: null,
  },
  {
    title: 'two that are init',
    here: local({ role: 'init' }),
    theirs: { role: 'init' },
    refusal: 'role',
  },
  {
    title: 'a smaller secondary: it may grow (H14)',
    here: local({ sizeBytes: 512 }),
    refusal: null,
  },
];

for (const { title, here, theirs, proof = SECURE, refusal, text } of CASES) {
  test(`caller: ${title}`, () => {
    const verdict = judgeCaller('b', here, factsOf('a', theirs ?? {}), proof);
    assert.equal(verdict?.refusal ?? null, refusal);
    if (text) assert.match(verdict?.text ?? '', text);
  });
}

test('both sides judge alike', () => {
  const roles = ['init', 'primary', 'secondary'] as const;
  const sizes = [0, 512, 4096];
  for (const mineRole of roles) {
    for (const theirRole of roles) {
      for (const mineSize of sizes) {
        for (const theirSize of sizes) {
          const a = factsOf('a', { role: mineRole, sizeBytes: mineSize });
          const b = factsOf('b', { role: theirRole, sizeBytes: theirSize });
          assert.equal(judgePeers(a, b)?.refusal, judgePeers(b, a)?.refusal);
        }
      }
    }
  }
});

test('another resource is refused by either side', () => {
  const verdict = judgePeers(factsOf('a'), factsOf('b', { resource: 'vm2' }));
  assert.equal(verdict?.refusal, 'wrong-resource');
});

test('every refusal has its own sentence, and an error repeats it with the peer', () => {
  const seen = new Set<string>();
  for (const refusal of REFUSALS) {
    const text = refusalText(refusal, { here: 'b', resource: 'vm1', ours: '1', theirs: '2' });
    seen.add(text);
    const error = new PeerError({ code: 'PEER_REFUSED', peer: '10.0.0.2:8457', refusal, text });
    assert.equal(describePeerError(error), `10.0.0.2:8457 refused: ${text}`);
  }
  assert.equal(seen.size, REFUSALS.length);
});
