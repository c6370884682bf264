// Whether two ends may have a session, decided from what both say (pure). Names and roles are
// settled here. Lineage is the round's business (lineage/lineage.ts), because a session is needed
// to say that two disks have diverged; sizes are decided by its BEGIN, because a secondary that is
// smaller than its primary may grow with the next point (H14).
import { refusalText } from './faults.js';
import type { PeerFacts, Refusal } from './messages.js';

export interface Verdict {
  readonly refusal: Refusal;
  readonly text: string;
}

/** How the peer reached us. */
export interface Proof {
  /** The resource whose key it proved to hold; null: a plain connection. */
  readonly identity: string | null;
}

/** A resource of this node, as an incoming HELLO is judged. */
export interface LocalResource {
  readonly facts: PeerFacts;
  /** `insecure on`: plain connections are taken. */
  readonly insecure: boolean;
}

/** Null: welcome. `local` is null when this node has no resource of that name. */
export function judgeCaller(
  here: string,
  local: LocalResource | null,
  theirs: PeerFacts,
  proof: Proof,
): Verdict | null {
  const { resource } = theirs;
  if (proof.identity !== null && proof.identity !== resource) {
    return verdict('wrong-resource', { here, resource, theirs: proof.identity });
  }
  if (local === null) return verdict('unknown-resource', { here, resource });
  if (proof.identity === null && !local.insecure)
    return verdict('secret-needed', { here, resource });
  return judgePeers(local.facts, theirs);
}

/** The part of the judgement that both sides make. */
export function judgePeers(mine: PeerFacts, theirs: PeerFacts): Verdict | null {
  const { node: here, resource } = mine;
  if (theirs.resource !== resource) {
    return verdict('wrong-resource', { here, resource, theirs: theirs.resource });
  }
  if (theirs.node === here) return verdict('same-node', { here, resource });
  const roles = [mine.role, theirs.role];
  // A secondary about to be promoted asks a former primary whether it agrees (H39).
  if (roles.includes('init') && roles.includes('secondary')) return null;
  if (mine.role === 'primary' && theirs.role === 'primary') {
    return verdict('two-primaries', { here, resource });
  }
  if (!roles.includes('primary') || !roles.includes('secondary')) {
    return verdict('role', { here, resource, ours: mine.role, theirs: theirs.role });
  }
  return null;
}

const verdict = (refusal: Refusal, facts: Parameters<typeof refusalText>[1]): Verdict => ({
  refusal,
  text: refusalText(refusal, facts),
});
