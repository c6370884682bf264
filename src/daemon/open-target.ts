// Opens targets for a link: a session with another node, or an archive in a store.
import type { Clock } from '../base/clock.js';
import type { Random } from '../base/random.js';
import type { DialSecurity } from '../net/connect.js';
import { type Pace, paced } from '../net/pace.js';
import { greet } from '../peer/greet.js';
import type { PeerFacts } from '../peer/messages.js';
import { type ArchiveOrder, openArchiveTarget } from '../target/open-archive.js';
import { remoteTarget } from '../target/remote.js';
import type { Network } from './machinery.js';
import type { OpenTarget } from './target-link.js';

export interface NodeParts {
  /** What this node says of itself at contact. */
  readonly facts: () => PeerFacts;
  readonly security: () => DialSecurity;
  readonly dial: Network['dial'];
  /** Outlives the sessions. */
  readonly pace: Pace;
  readonly clock: Clock;
  readonly random: Random;
}

/** Dials a node and greets it. */
export function nodeOpener({ facts, security, dial, pace, clock, random }: NodeParts): OpenTarget {
  return async ({ target, remote, source, timeoutMs }, signal) => {
    const place = { remote, source, timeoutMs, security: security() };
    const stream = paced(await dial(place, { clock, signal }), pace);
    const session = await greet(stream, facts(), { clock, random });
    return { end: remoteTarget(session, target), closed: session.closed };
  };
}

/** Opens an archive; `order` is asked each time, for credentials and keys may change. */
export function archiveOpener(order: () => Promise<ArchiveOrder>): OpenTarget {
  return async () => ({ end: await openArchiveTarget(await order()), closed: null });
}
