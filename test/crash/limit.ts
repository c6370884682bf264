// The time limit of a test in memory. What hangs there leaves nothing to wait for, and node would
// end as if all were well: a timer keeps it until the limit.
import { after } from 'node:test';

/** Options of the tests of the calling file, which is kept awake until they are over. */
export function limited(timeoutMs: number): { timeout: number } {
  const awake = setInterval(() => {}, 1000);
  after(() => clearInterval(awake));
  return { timeout: timeoutMs };
}
