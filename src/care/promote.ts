// Becoming primary. An epoch is durable before the export opens (H37, H39). A resource that never
// had a point gets its id here; a replica goes on from its last applied point and remembers, in
// the epoch's parent, which one that was.
import { isoTime } from '../base/clock.js';
import type { Random } from '../base/random.js';
import { humanSeconds, ID_BYTES } from '../base/units.js';
import type { Role } from '../control/api.js';
import { EMPTY_TARGET, type ResourceState } from '../format/resource-state.js';
import { type Epoch, type PointRef, sameId } from '../lineage/lineage.js';

/** The state of a new primary. Pure but for the random ids; the caller publishes it. The replica's
 * apply has ended and its session is closed. */
export function promoted(state: ResourceState, node: string, random: Random): ResourceState {
  const last = state.epochs.at(-1);
  const parent = state.replica.point?.id ?? null;
  const epoch = {
    id: random.bytes(ID_BYTES),
    number: (last?.number ?? 0) + 1,
    parent,
    node,
  };
  return {
    ...state,
    role: 'primary',
    resource: state.resource ?? random.bytes(ID_BYTES),
    epochs: [...state.epochs, epoch],
    written: false,
    clean: null,
    running: null,
  };
}

/** True when taking the role starts a new epoch: there is none, or the last is another node's. */
export const needsEpoch = (state: ResourceState, node: string): boolean =>
  state.epochs.at(-1)?.node !== node;

/** What a promotion gives up, in words for the operator; null: nothing, the primary agrees and no
 * chunk is damaged (H21). The replica's apply has ended, its last point is that of the state. */
export function promotionLoss(state: ResourceState, peers: readonly PeerView[], nowMs: number) {
  const { point } = state.replica;
  if (point === null) return null;
  const damaged = damageText(state);
  const agreed = peers.some(({ theirs }) => agrees(theirs, point));
  const said = peers.map((peer) => peerText(state, peer, peers.length > 1, agreed));
  if (agreed && said.every((text) => text === null)) return damaged;
  const texts = peers.length === 0 ? ['the primary has no address here'] : said;
  const parts = [ageText(point, nowMs), damaged, ...texts];
  return parts.filter((text) => text !== null).join('; ');
}

/** What a peer said of itself; null: it was not reached. */
export interface PeerView {
  readonly target: string;
  readonly theirs: {
    readonly role: Role;
    readonly resourceId: Uint8Array | null;
    readonly epochs: readonly Epoch[];
    readonly point: PointRef | null;
    readonly suspect: boolean;
  } | null;
}

type Said = PeerView['theirs'];

/** A former primary whose last point is ours and that wrote nothing after it. */
const agrees = (theirs: Said, point: PointRef): boolean =>
  theirs?.role === 'init' && !theirs.suspect && sameId(theirs.point?.id, point.id);

/** Null: nothing is lost on account of this peer. `agreed`: the former primary says that all it has
 * is here; another replica's later point then has the same content. */
function peerText(
  state: ResourceState,
  { target, theirs }: PeerView,
  several: boolean,
  agreed: boolean,
) {
  const { point } = state.replica;
  const who = several ? target : 'the primary';
  if (theirs === null) return `${who} does not answer`;
  if (theirs.role === 'primary') return `${who} answers and is still primary`;
  const epoch = unknownEpoch(state, theirs);
  if (epoch !== null) return `${who} answers and was promoted since (epoch ${epoch.number})`;
  if (theirs.role === 'secondary') {
    const later = !agreed && (theirs.point?.timeMs ?? 0) > (point?.timeMs ?? 0);
    return later ? `${who} is a replica with the later point ${theirs.point?.number}` : null;
  }
  if (point !== null && agrees(theirs, point)) return null;
  const former = several ? target : 'the former primary';
  return `${former} answers and holds more than that`;
}

/** The peer's last epoch if this node has never heard of it: it has gone on without us. A peer with
 * another resource, or none, has no epoch that counts here. */
export function unknownEpoch(
  state: Pick<ResourceState, 'resource' | 'epochs'>,
  theirs: Pick<NonNullable<Said>, 'resourceId' | 'epochs'>,
): Epoch | null {
  const last = theirs.epochs.at(-1);
  if (last === undefined || !sameId(theirs.resourceId, state.resource)) return null;
  return state.epochs.some((epoch) => sameId(epoch.id, last.id)) ? null : last;
}

function ageText(point: PointRef, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - point.timeMs) / 1000);
  const time = isoTime(point.timeMs);
  return (
    `the last whole point is number ${point.number} of ${time}, ${humanSeconds(seconds)} old; ` +
    'whatever the primary wrote after it is not here'
  );
}

/** H21: the point was committed although the primary could not read all of it. */
function damageText({ replica: { chain, point } }: ResourceState): string | null {
  const last = chain.at(-1);
  if (point === null || last?.consistency !== 'damaged') return null;
  const count = last.damagedChunks;
  return (
    `${count} chunks of point ${point.number} could not be read on the primary ` +
    'and hold what they held before'
  );
}

/** The records of a new primary: one for each target that it keeps a map for, and the others, which
 * are compared as a whole when they return (`away`). */
export function recordsOf(
  named: readonly string[],
  records: ResourceState['targets'],
): ResourceState['targets'] {
  const others = Object.entries(records)
    .filter(([name]) => !named.includes(name))
    .map(([name, record]) => [name, { ...record, away: true }] as const);
  const kept = named.map((name) => [name, records[name] ?? EMPTY_TARGET] as const);
  return Object.fromEntries([...others, ...kept]);
}
