// A question about many chunks, asked in pieces that fit a message, several of them at once so that
// none waits a round trip (D5). Answers come in order of the pieces.
import type { ChunkIndex } from '../base/units.js';

/** Questions of one call that are open at once. */
const QUESTIONS_MAX = 4;

/** Asks for chunks first..first+count-1, at most `most` a piece; rejects with the first error. */
export async function inPieces<T>(
  first: ChunkIndex,
  count: number,
  most: number,
  ask: (first: ChunkIndex, count: number) => Promise<T>,
): Promise<readonly T[]> {
  const answers: T[] = [];
  const pieces = Math.ceil(count / most);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < pieces) {
      const piece = next;
      next += 1;
      const start = piece * most;
      answers[piece] = await ask(first + start, Math.min(most, count - start));
    }
  };
  await Promise.all(Array.from({ length: Math.min(QUESTIONS_MAX, pieces) }, lane));
  return answers;
}
