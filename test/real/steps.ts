// Steps that tests of the running program take again and again, over the control socket: it spares
// the start of hastctl, which has its own tests. Each fails with what the daemon said.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Role, RoleRequest } from '../../src/control/api.js';
import { assertSameImages } from './images.js';
import type { Pair, RealNode } from './nodes.js';

const WAIT_MS_MAX = 15_000;
const POLL_MS = 20;

/** `create`, with -m where `mediaBytes` is given. */
export async function create(node: RealNode, mediaBytes: number | null = null, name = 'vm1') {
  const rest = { extentBytes: null, keepdirty: null, force: false };
  await node.control.create(name, { ...rest, mediaBytes });
}

/** `more`: what the operator accepts. */
export async function takeRole(
  node: RealNode,
  role: Role,
  more: Partial<RoleRequest> = {},
  name = 'vm1',
): Promise<void> {
  const none = { acceptLoss: false, acceptDrift: false, alone: false };
  await node.control.role(name, { role, ...none, ...more });
}

/** A round that must succeed, applied; says what it came to. */
export async function round(node: RealNode): Promise<'applied' | 'nothing'> {
  const { signal } = new AbortController();
  const { outcomes } = await node.control.sync('vm1', { wait: 'applied' }, signal);
  const [outcome] = outcomes;
  assert.ok(outcome?.outcome === 'applied' || outcome?.outcome === 'nothing', outcome?.text);
  return outcome.outcome;
}

/** A round that must fail; returns why. */
export async function failedRound(node: RealNode): Promise<string> {
  const { signal } = new AbortController();
  const { outcomes } = await node.control.sync('vm1', { wait: 'applied' }, signal);
  assert.equal(outcomes[0]?.outcome, 'failed', JSON.stringify(outcomes));
  return outcomes[0].text;
}

/** After a round the replica's disk is the primary's: nothing has been lost. */
export async function nothingLost(pair: Pair): Promise<void> {
  await round(pair.a);
  assertSameImages(pair.a.image, pair.b.image);
}

/** The one target of vm1 as `status` has it. */
export async function targetOf(node: RealNode) {
  const { resources } = await node.control.status(['vm1']);
  const target = resources[0]?.targets[0];
  assert.ok(target !== undefined, 'vm1 has one target here');
  return target;
}

/** The log of `node` from now on: `line` waits for one that matches. */
export function listen(node: RealNode) {
  const from = node.log().length;
  const news = (): string => node.log().slice(from);
  const line = async (pattern: RegExp): Promise<string> => {
    for (let waitedMs = 0; waitedMs < WAIT_MS_MAX; waitedMs += POLL_MS) {
      const found = news()
        .split('\n')
        .find((each) => pattern.test(each));
      if (found !== undefined) return found;
      await sleep(POLL_MS);
    }
    assert.fail(`${node.name} has not logged ${pattern}:\n${news()}`);
  };
  return { news, line };
}

/** Waits until `look` is true, at most fifteen seconds or as long as is said. */
export async function until(
  what: string,
  look: () => Promise<boolean>,
  waitMsMax = WAIT_MS_MAX,
): Promise<void> {
  for (let waitedMs = 0; waitedMs < waitMsMax; waitedMs += POLL_MS) {
    if (await look()) return;
    await sleep(POLL_MS);
  }
  assert.fail(`in vain: ${what}`);
}
