// What every test of a target does and expects: frames put, some turns of the loop, a refusal for
// a reason, a session that is lost.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { type RefusalReason, type Target, TargetError } from '../../src/target/target.js';

export const refused =
  (reason: RefusalReason, text = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TargetError, String(error));
    assert.equal(error.fault.code, 'TARGET_REFUSED');
    assert.ok(error.fault.code === 'TARGET_REFUSED' && error.fault.reason === reason);
    assert.match(error.fault.text, text);
    return true;
  };

export const lost =
  (text = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TargetError, String(error));
    assert.equal(error.fault.code, 'TARGET_LOST');
    assert.match(error.fault.text, text);
    return true;
  };

/** Puts all frames; the error of the first that was not taken. */
export async function putAll(
  target: Target,
  frames: readonly Uint8Array[],
  first = 0,
): Promise<void> {
  for (const [at, frame] of frames.entries()) await target.put(first + at, frame);
}

export async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await turn();
}
