// Steps that tests with several targets take again and again: the guest writes, a target as status
// has it, a wait as long as rounds over slow links take.
import assert from 'node:assert/strict';
import type { TargetStatus } from '../../src/control/api.js';
import { Client, CMD, FUA } from '../nbd/client.js';
import { MIB, seededBytes } from './images.js';
import type { RealNode } from './nodes.js';
import { until as untilWithin } from './steps.js';

const WAIT_MS_MAX = 60_000;

/** Never fires: a round may take as long as it takes. */
export const never = (): AbortSignal => new AbortController().signal;

/** Writes content that no compression makes smaller through the export, in pieces. */
export async function write(
  node: RealNode,
  offset: number,
  length: number,
  seed: number,
): Promise<void> {
  const client = await Client.open({ path: node.nbdSocket }, 'vm1');
  const bytes = seededBytes(seed, length);
  for (let at = 0; at < length; at += MIB) {
    const payload = bytes.subarray(at, Math.min(length, at + MIB));
    const asked = { type: CMD.WRITE, flags: FUA, offset: offset + at };
    assert.equal((await client.ask(asked, payload)).error, 0);
  }
  client.socket.destroy();
}

export async function target(node: RealNode, name: string): Promise<TargetStatus> {
  const { resources } = await node.control.status(['vm1']);
  const found = resources[0]?.targets.find((each) => each.name === name);
  assert.ok(found, `vm1 has a target ${name}`);
  return found;
}

/** Waits until `look` is true, at most a minute. */
export const until = (what: string, look: () => Promise<boolean>): Promise<void> =>
  untilWithin(what, look, WAIT_MS_MAX);
