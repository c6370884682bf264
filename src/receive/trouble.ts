// The errors of a target as the primary at the other end is told them: REFUSED with its reason, or
// FAILED with the code; our own mistakes stop the program and never travel.
import { AssertionError } from '../base/assert.js';
import { codeOf, describeError } from '../base/errors.js';
import type { PointRef, RoundId } from '../lineage/lineage.js';
import { type Answer, type Envelope, NO_ROUND, type Trouble } from '../peer/messages.js';
import { TargetError } from '../target/target.js';

/** What `error`, met while working for `round`, is told as. */
export function trouble(error: unknown, round: RoundId): Trouble {
  if (error instanceof AssertionError) throw error;
  if (error instanceof TargetError && error.fault.code === 'TARGET_REFUSED') {
    return { type: 'refused', round, reason: error.fault.reason, text: error.fault.text };
  }
  return { type: 'failed', round, code: codeOf(error) ?? 'UNEXPECTED', text: textOf(error) };
}

/** The answer to WAIT_APPLIED when it went wrong. */
export function applyTrouble(error: unknown, point: PointRef): Answer {
  const why = trouble(error, point.id);
  const plain = why.type === 'refused' && why.reason !== 'apply-failed';
  if (plain || isLost(error)) return why;
  return { type: 'apply-failed', point, text: why.text };
}

/** The round a message is about, NO_ROUND if none. */
export function roundOf(message: Envelope['message']): RoundId {
  if (message.type === 'begin') return message.begin.round;
  if (message.type === 'commit') return message.commit.round;
  return 'round' in message ? message.round : NO_ROUND;
}

/** An answer that cannot leave because the session has ended: nobody is there to tell. */
export function endedOnly(error: unknown): void {
  if (error instanceof AssertionError) throw error;
}

const isLost = (error: unknown): boolean =>
  error instanceof TargetError && error.fault.code === 'TARGET_LOST';

const textOf = (error: unknown): string =>
  error instanceof TargetError ? error.fault.text : describeError(error);
