// At start, and for a resource that a reload adds: gives it the role that an operator gave it last,
// if its peers have nothing against it (H38). What the state says is known before anybody is asked:
// while a question is out, it must not look like a resource that was never created. What has to
// wait for a peer is asked again and again, further and further apart; an order of an operator ends
// that. Failures are the resource's own: status says them.
import type { Clock } from '../base/clock.js';
import { describeError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { Resource } from './resource.js';
import type { Roles } from './roles.js';
import type { Peer } from './thread-calls.js';
import type { RememberedRole, RoundThread } from './thread-messages.js';

const ASK_AGAIN_MS_MIN = 2000;
const ASK_AGAIN_MS_MAX = 60_000;

export interface TakeUpParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly rounds: Peer<RoundThread>;
  readonly roles: Roles;
}

/** Resolves when the role is taken, or never will be. Does not reject. */
export async function takeUpRole(resource: Resource, parts: TakeUpParts): Promise<void> {
  const { clock, log } = parts;
  const { signal } = resource.asking;
  const { name } = resource.settings;
  if (!(await lookUp(resource, parts))) return;
  let waitMs = ASK_AGAIN_MS_MIN;
  while (!signal.aborted) {
    const found = await parts.rounds.call('remembered', name);
    if (signal.aborted) return;
    resource.ordered = found.ordered;
    if (found.take !== 'init') {
      await resource.order.run(() => settle(resource, found, parts));
      return;
    }
    const error = `${name}: was primary and waits to be it again: ${found.text}`;
    if (resource.error !== error)
      log.warn('a remembered role waits', { resource: name, why: error });
    resource.error = error;
    await clock.sleep(waitMs, signal);
    waitMs = Math.min(ASK_AGAIN_MS_MAX, waitMs * 2);
  }
}

/** What became of it, for the operator who had the resource put back; none: nothing to say. */
export function takenUpNotes({ role, error, settings }: Resource): string[] {
  if (role !== 'init') return [`${settings.name}: is ${role} again, as before`];
  return error === null ? [] : [error];
}

/** False: there is no state, or none that can be read, which status says. */
async function lookUp(resource: Resource, { rounds, log }: TakeUpParts): Promise<boolean> {
  const { name } = resource.settings;
  try {
    const known = await rounds.call('known', name);
    if (resource.asking.signal.aborted) return false;
    resource.ordered = known?.ordered ?? null;
    return known !== null;
  } catch (error) {
    resource.error = describeError(error);
    log.error('no role can be taken up', { resource: name, why: resource.error });
    return false;
  }
}

/** Under the resource's order: an operator may have been first. */
async function settle(resource: Resource, found: RememberedRole, parts: TakeUpParts) {
  const { name } = resource.settings;
  const { take, text } = found;
  if (resource.asking.signal.aborted || take === 'init') return;
  if (take === 'none') {
    if (text === '') return;
    resource.error = `${name}: was ${found.ordered} and is not now: ${text}`;
    parts.log.error('a remembered role is not taken up', { resource: name, why: text });
    return;
  }
  try {
    await parts.roles.takeUp(resource, take);
    parts.log.info('a remembered role is taken up', { resource: name, role: take, why: text });
  } catch (error) {
    resource.error = `${name}: the role ${take} could not be taken up: ${describeError(error)}`;
    parts.log.error('a remembered role cannot be taken up', {
      resource: name,
      why: resource.error,
    });
  }
}
