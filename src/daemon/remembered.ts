// Whether a node that was the last primary may be it again: what its peers said, and what follows
// (H37, H38). Pure: the questions are asked elsewhere. A role is never taken while a peer says that
// it has gone on without us, whatever the operator adds; silence is what start-alone is for. A peer
// that held a point of ours and knows nothing of it now is no witness: it may have been promoted
// before it lost its state, and counts as silent.
import { unknownEpoch } from '../care/promote.js';
import type { ResourceSettings } from '../config/settings.js';
import type { Role } from '../control/api.js';
import type { ResourceState } from '../format/resource-state.js';
import { sameId } from '../lineage/lineage.js';
import type { PeerFacts } from '../peer/messages.js';

/** What a peer said of itself, or why it said nothing. */
export type PeerAnswer =
  | { readonly target: string; readonly theirs: PeerFacts }
  | { readonly target: string; readonly theirs: null; readonly why: string };

export type ReturnVerdict =
  /** `alone`: there are peers, and none could say anything. */
  | { readonly kind: 'serve'; readonly alone: boolean; readonly text: string }
  /** A peer has gone on, or is primary now. */
  | { readonly kind: 'newer'; readonly text: string }
  | { readonly kind: 'wait'; readonly text: string };

/** 'start': hastd takes up what it remembers. 'order': an operator says `role primary`. */
export type Occasion = 'start' | 'order' | 'order-alone';

export interface ReturnFacts {
  readonly state: Pick<ResourceState, 'resource' | 'epochs' | 'clean' | 'targets'>;
  readonly startAlone: ResourceSettings['startAlone'];
  readonly occasion: Occasion;
  /** One a target with an address. */
  readonly answers: readonly PeerAnswer[];
}

/** Decides for a node whose epoch is the last one it knows. */
export function judgeReturn(facts: ReturnFacts): ReturnVerdict {
  const { answers } = facts;
  const objections = answers.flatMap((answer) => objectionOf(facts.state, answer) ?? []);
  if (objections.length > 0) return { kind: 'newer', text: objections.join('; ') };
  const silent = answers.flatMap((answer) => (answer.theirs === null ? [answer] : []));
  const answered = answers.filter(({ theirs }) => theirs !== null);
  const forgetful = namesOf(answered.filter((answer) => hasForgotten(facts.state, answer)));
  const agreed = namesOf(answered.filter((answer) => !hasForgotten(facts.state, answer)));
  if (silent.length + forgetful.length === 0) {
    const text = agreed.length === 0 ? 'no peer has an address' : `agreed: ${agreed.join(', ')}`;
    return { kind: 'serve', alone: false, text };
  }
  const names = silent.map(({ target, why }) => `${target} (${why})`);
  const missing = [
    ...(names.length === 0 ? [] : [`not reached: ${names.join(', ')}`]),
    ...forgetful.map((name) => `${name} has lost what it knew of this resource`),
  ].join('; ');
  const refused = mayServeAlone(facts);
  if (refused !== null) return { kind: 'wait', text: `${missing}; ${refused}` };
  return { kind: 'serve', alone: agreed.length === 0, text: missing };
}

/** Null: it may. Else why it has to wait. */
function mayServeAlone({ state, startAlone, occasion }: ReturnFacts): string | null {
  if (occasion === 'order-alone' || startAlone === 'serve') return null;
  const clean = state.clean !== null;
  // An operator's word outweighs "start-alone wait", but not a crash that nobody has looked at.
  if (clean && (occasion === 'order' || startAlone === null)) return null;
  return clean ? 'start-alone is "wait"' : 'the last end was not clean';
}

const namesOf = (answers: readonly PeerAnswer[]): string[] => answers.map(({ target }) => target);

/** It stood at a point of this resource, and does not know the resource: its state is gone. */
function hasForgotten(state: ReturnFacts['state'], { target, theirs }: PeerAnswer): boolean {
  const had = (state.targets[target]?.point ?? null) !== null;
  return had && !sameId(theirs?.resourceId, state.resource);
}

/** Why a peer that was reached speaks against it; null: it does not. */
function objectionOf(state: ReturnFacts['state'], { target, theirs }: PeerAnswer): string | null {
  if (theirs === null) return null;
  const epoch = unknownEpoch(state, theirs);
  if (epoch !== null) {
    const now = theirs.role === 'primary' ? ' and is primary' : '';
    return `${target} was promoted since (epoch ${epoch.number} of node ${epoch.node})${now}`;
  }
  return theirs.role === 'primary' ? `${target} is primary` : null;
}

/** The role to take up at start before anybody was asked; null: none. */
export function rememberedRole(
  state: Pick<ResourceState, 'remembered'>,
  settings: Pick<ResourceSettings, 'remember'>,
): Exclude<Role, 'init'> | null {
  if (!settings.remember || state.remembered === 'init') return null;
  return state.remembered;
}
