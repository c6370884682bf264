// Asks the other nodes of a resource what they are: before a remembered primary serves again (H38)
// and before a replica is promoted. A question changes nothing at the peer and ends no session of
// its; it is an ordinary greeting, broken off after the answer. Waits at most the target's timeout
// for each of two dials, for all peers at once.
import type { Clock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { TargetSettings } from '../config/settings.js';
import type { DialSecurity } from '../net/connect.js';
import { PeerError } from '../peer/faults.js';
import { greet } from '../peer/greet.js';
import type { PeerFacts, PeerRole } from '../peer/messages.js';
import type { Network } from './machinery.js';
import type { PeerAnswer } from './remembered.js';

export interface AskParts {
  readonly purpose: keyof typeof GUISES;
  /** What this node says of itself, but for its role. */
  readonly facts: PeerFacts;
  readonly security: DialSecurity;
  readonly dial: Network['dial'];
  readonly clock: Clock;
  readonly random: Random;
}

/** An answer for every node with an address. */
export function askPeers(
  targets: readonly TargetSettings[],
  parts: AskParts,
): Promise<readonly PeerAnswer[]> {
  const asked = targets.flatMap((target) =>
    target.remote === null || target.archive !== null
      ? []
      : [askPeer(target, target.remote, parts)],
  );
  return Promise.all(asked);
}

/** Two ends must differ in role to have a session (peer/admit.ts), and the peer's is what we want
 * to know: as `init` a secondary answers, as `secondary` a primary or one that is init itself. The
 * likelier one first: a refusal costs a dial and a line in the peer's log. */
const GUISES = { return: ['init', 'secondary'], promote: ['secondary', 'init'] } as const;

async function askPeer(
  settings: TargetSettings,
  remote: string,
  parts: AskParts,
): Promise<PeerAnswer> {
  const { name: target } = settings;
  let why = '';
  for (const role of GUISES[parts.purpose]) {
    try {
      return { target, theirs: await greeted(settings, remote, role, parts) };
    } catch (error) {
      if (hasNoState(error)) return { target, theirs: stateless(parts.facts, target) };
      why = describeError(error);
      if (refusalOf(error) !== 'role') break;
    }
  }
  return { target, theirs: null, why };
}

async function greeted(
  { source, timeoutSeconds }: TargetSettings,
  remote: string,
  role: PeerRole,
  { facts, security, dial, clock, random }: AskParts,
): Promise<PeerFacts> {
  const timeoutMs = timeoutSeconds * 1000;
  const stream = await dial({ remote, source, timeoutMs, security }, { clock });
  // Of no size: whether the disks fit is not the question.
  const session = await greet(stream, { ...facts, role, sizeBytes: 0 }, { clock, random });
  session.start(() => undefined);
  await session.close();
  return session.facts.theirs;
}

const refusalOf = (error: unknown): string | null =>
  error instanceof PeerError && 'refusal' in error.fault ? error.fault.refusal : null;

/** It answers, and holds nothing of the resource now. What that is worth depends on what it is
 * known to have held (remembered.ts). */
const hasNoState = (error: unknown): boolean => refusalOf(error) === 'unknown-resource';

const stateless = (mine: PeerFacts, target: string): PeerFacts => ({
  ...mine,
  node: target,
  role: 'init',
  resourceId: null,
  epochs: [],
  point: null,
  proposed: null,
  suspect: true,
});
