// Who may end whose session at a replica: the primary that was replaced must not end that of its
// successor, and learns all the same that it has diverged. A real door on loopback, a replica in
// memory behind it.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { codeOf } from '../../src/base/errors.js';
import { type Log, silentLog } from '../../src/base/log.js';
import { seededRandom } from '../../src/base/random.js';
import { retainLast } from '../../src/config/retain.js';
import type { ResourceSettings } from '../../src/config/settings.js';
import type { Machinery } from '../../src/daemon/machinery.js';
import { PeerDoor } from '../../src/daemon/peer-door.js';
import { newNode } from '../../src/daemon/resource-node.js';
import { SecondaryResource } from '../../src/daemon/secondary-resource.js';
import type { Epoch } from '../../src/lineage/lineage.js';
import { dialPeer } from '../../src/net/connect.js';
import { listenForPeers } from '../../src/net/listen.js';
import { greet } from '../../src/peer/greet.js';
import type { PeerFacts } from '../../src/peer/messages.js';
import { contact, updateTarget } from '../../src/round/contact.js';
import { remoteTarget } from '../../src/target/remote.js';
import type { Target } from '../../src/target/target.js';
import { ready, shape } from '../crash/ladder-material.js';
import type { Pair } from '../crash/pair.js';
import { idOf, pointOf } from '../peer/material.js';

const LIMIT = { timeout: 30_000 };
const random = seededRandom(4);

const SETTINGS: ResourceSettings = {
  name: 'vm1',
  exportName: 'vm1',
  local: '/disk',
  replication: 'periodic',
  compression: { codec: 'none' },
  timeoutSeconds: 20,
  metaflush: false,
  retain: retainLast(4),
  timezone: null,
  remember: true,
  startAlone: null,
  scrubShare: 0,
  spillBytes: 1024,
  secretPath: null,
  insecure: true,
  dataThreads: 1,
  exec: null,
  targets: [],
};

interface House {
  /** Was primary of the first epoch and does not know of another. */
  readonly a: Pair;
  /** At the door: c is primary of the second epoch. */
  readonly b: SecondaryResource;
  readonly epochs: readonly Epoch[];
  /** A session of who says so of itself. */
  dial(says: Partial<PeerFacts>): Promise<Target>;
}

async function house(t: TestContext): Promise<House> {
  const a = await ready(1);
  const { point } = a.replicaNode.resourceFile.state.replica;
  assert.ok(point);
  await a.target.close();
  const { resourceFile, replica } = a.replicaNode;
  const epoch = { id: idOf(2), number: 2, parent: point.id, node: 'c' };
  await resourceFile.update((state) => ({ ...state, epochs: [...state.epochs, epoch] }));
  const b = new SecondaryResource({
    replica,
    settings: SETTINGS,
    clock: systemClock,
    log: silentLog,
  });
  const node = newNode(SETTINGS);
  node.file = resourceFile;
  node.role = { kind: 'secondary', resource: b };
  let address = '';
  const log: Log = {
    ...silentLog,
    info: (_, fields = {}) => {
      if (typeof fields['address'] === 'string') ({ address } = fields as { address: string });
    },
  };
  const machinery = {
    node: 'b',
    clock: systemClock,
    random,
    log,
    network: { dial: dialPeer, listen: listenForPeers },
  } as Partial<Machinery> as Machinery;
  const door = new PeerDoor(machinery, new Map([['vm1', node]]));
  await door.open(['tcp://127.0.0.1:0']);
  const { epochs, resource } = resourceFile.state;
  const facts: PeerFacts = {
    node: 'c',
    resource: 'vm1',
    target: 'b',
    resourceId: resource,
    role: 'primary',
    epochs,
    point,
    proposed: null,
    sizeBytes: shape.sizeBytes,
    suspect: false,
    timeoutMs: 20_000,
  };
  const dial = async (says: Partial<PeerFacts>): Promise<Target> => {
    const options = { source: null, timeoutMs: 5000, security: { kind: 'plain' } } as const;
    const remote = `tcp://${address}`;
    const stream = await dialPeer({ remote, ...options }, { clock: systemClock });
    const session = await greet(stream, { ...facts, ...says }, { clock: systemClock, random });
    const target = remoteTarget(session, 'b');
    t.after(() => target.close());
    return target;
  };
  t.after(() => door.close());
  return { a, b, epochs, dial };
}

test(
  'C3: a replaced primary ends no session, and learns that it has diverged',
  LIMIT,
  async (t) => {
    const { a, b, epochs, dial } = await house(t);
    const { parts } = a.primaryNode;
    const { point } = a.replicaNode.resourceFile.state.replica;
    assert.ok(point);
    const rightful = await dial({ epochs });
    assert.equal(await rightful.outcome(point.id), 'committed', 'it holds the writer lock');
    // It was in the middle of a round, and asks for it first (H23).
    const proposed = { point: pointOf(9), from: point };
    await updateTarget(parts, (record) => ({
      ...record,
      proposed: { ...record.proposed, ...proposed },
    }));
    const stale = await dial({ node: 'a', epochs: epochs.slice(0, 1) });
    await assert.rejects(contact(parts, stale), (error) => codeOf(error) === 'TARGET_DIVERGED');
    assert.equal(await stale.outcome(point.id), 'committed');
    await assert.rejects(stale.digests(0, 1, 'table'), /wrong-epoch.*node a has ended/);
    assert.equal(await rightful.outcome(point.id), 'committed', 'its session lives');
    assert.equal(b.status().targets[0]?.name, 'c');
    assert.equal(b.connected, true);
  },
);

test(
  'C3: a primary that comes anew, or of an epoch not known here, takes over',
  LIMIT,
  async (t) => {
    const { a, epochs, dial } = await house(t);
    const { point } = a.replicaNode.resourceFile.state.replica;
    assert.ok(point);
    const first = await dial({ epochs });
    const again = await dial({ epochs });
    await assert.rejects(first.outcome(point.id), (error) => codeOf(error) === 'TARGET_LOST');
    const epoch = { id: idOf(3), number: 3, parent: point.id, node: 'd' };
    const next = await dial({ node: 'd', epochs: [...epochs, epoch] });
    await assert.rejects(again.outcome(point.id), (error) => codeOf(error) === 'TARGET_LOST');
    assert.equal(await next.outcome(point.id), 'committed');
  },
);

test('a replaced primary is not taken for the primary that is missed', LIMIT, async (t) => {
  const { b, epochs, dial } = await house(t);
  const since = b.status().targets[0]?.unreachableSince;
  assert.ok(since);
  const stale = await dial({ node: 'a', epochs: epochs.slice(0, 1) });
  assert.equal(await stale.outcome(idOf(7)), 'none');
  assert.equal(b.connected, false);
  assert.equal(b.status().targets[0]?.unreachableSince, since);
});
