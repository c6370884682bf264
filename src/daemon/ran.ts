// What a run of a target came to, and how an operator who asked for it is told.
import { errorClass } from '../base/errors.js';
import type { SyncRequest } from '../control/api.js';
import type { PointRef } from '../lineage/lineage.js';
import type { SyncOutcome } from './thread-messages.js';

/** Why the last one failed; wall time. */
export interface LastError {
  readonly atMs: number;
  readonly code: string;
  readonly text: string;
}

export type Ran =
  /** Nothing was dirty: no point was made. */
  | { readonly kind: 'nothing' }
  /** `applied` resolves when the target has it in its disk. */
  | { readonly kind: 'committed'; readonly point: PointRef; readonly applied: Promise<void> };

/** A run that was ended on purpose; `why` says whose. */
export const StoppedError = errorClass<{ code: 'ROUND_STOPPED'; target: string; why: string }>(
  'RoundError',
  { ROUND_STOPPED: (f) => `target ${f.target}: ${f.why}` },
);

/** Waits for as much as was asked for; rejects with why it cannot be had. */
export async function syncOutcome(
  target: string,
  wait: SyncRequest['wait'],
  run: Promise<Ran>,
): Promise<SyncOutcome> {
  if (wait === null) {
    run.catch(() => undefined);
    return { target, outcome: 'started', point: null, text: 'a round was asked for' };
  }
  const ran = await run;
  if (ran.kind === 'nothing') {
    return { target, outcome: 'nothing', point: null, text: 'nothing was dirty, no point made' };
  }
  const { number: point } = ran.point;
  if (wait === 'commit') {
    return { target, outcome: 'committed', point, text: `point ${point} committed` };
  }
  await ran.applied;
  return { target, outcome: 'applied', point, text: `point ${point} applied` };
}
