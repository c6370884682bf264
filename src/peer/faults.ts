// What can go wrong between two hastd that reach each other: the protocol, versions, refusals.
// `peer` is its address for people. Codes and remedies: hast-protocol(7).
import { describeError, errorClass } from '../base/errors.js';
import type { Refusal } from './messages.js';

export type PeerFault =
  | { code: 'PEER_PROTOCOL'; peer: string; what: string }
  | { code: 'PEER_VERSION'; peer: string; theirs: number; ours: number }
  /** The other side refused us. */
  | { code: 'PEER_REFUSED'; peer: string; refusal: Refusal; text: string }
  /** We refused the other side. */
  | { code: 'PEER_UNWANTED'; peer: string; refusal: Refusal; text: string };

export const PeerError = errorClass<PeerFault>('PeerError', {
  PEER_PROTOCOL: (f) =>
    `${f.peer} broke the protocol: ${f.what} (is it hastd, and of the same release?)`,
  PEER_VERSION: (f) =>
    `${f.peer} speaks version ${f.theirs} of the protocol, this program version ${f.ours} ` +
    '(upgrade the older node)',
  PEER_REFUSED: (f) => `${f.peer} refused: ${f.text}`,
  PEER_UNWANTED: (f) => `${f.peer} was refused: ${f.text}`,
});

/** Facts a refusal is explained with; sizes in bytes, names as configured. */
export interface RefusalFacts {
  /** The node that refuses. */
  readonly here: string;
  readonly resource: string;
  /** What the other side has or said, where it matters. */
  readonly theirs?: string;
  readonly ours?: string;
}

/** The sentence of a refusal: what, on what, why, what to try. Both sides show the same one. */
export function refusalText(refusal: Refusal, facts: RefusalFacts): string {
  const { here, resource, theirs = '?', ours = '?' } = facts;
  switch (refusal) {
    case 'version':
      return `node ${here} speaks version ${ours} of the protocol (upgrade the older node)`;
    case 'unknown-resource':
      return `node ${here} has no resource ${resource} (is it spelled alike in both files?)`;
    case 'wrong-resource':
      return `the key is that of resource ${theirs}, the request for ${resource}`;
    case 'secret-needed':
      return (
        `node ${here} takes resource ${resource} only with its secret ` +
        '(set "secret" on both nodes, or "insecure on" on both)'
      );
    case 'same-node':
      return `both ends are node ${here} (does "remote" name this very node?)`;
    case 'role':
      return (
        `resource ${resource} is ${ours} on node ${here} and ${theirs} at the other end; ` +
        'one must be primary and one secondary (hastctl role)'
      );
    case 'size':
      return (
        `resource ${resource} has ${ours} bytes on node ${here} and ${theirs} at the other ` +
        'end; the secondary must not be smaller than the primary'
      );
    case 'lineage':
      return `resource ${resource} on node ${here} does not descend from the same disk`;
    case 'busy':
      return `resource ${resource} on node ${here} is busy with another session (try again)`;
    case 'stopping':
      return `node ${here} is stopping`;
    case 'broken':
      return `resource ${resource} on node ${here} cannot be used now: ${ours}`;
    case 'two-primaries':
      return (
        `resource ${resource} is primary on node ${here} and at the other end too: both serve ` +
        'guests, and their disks drift apart (stop the guest of one of them; hastd(8), FAILOVER)'
      );
  }
}

/** One sentence for an operator, of any error met on the way to a peer. */
export const describePeerError = (error: unknown): string => describeError(error);
