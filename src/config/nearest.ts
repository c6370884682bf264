// The word somebody meant: the nearest of the known words by edit distance, for messages only.
// Cost is bounded: words longer than WORD_CHARACTERS_MAX are not compared.

const DISTANCE_MAX = 2;
const WORD_CHARACTERS_MAX = 32;

/** The first known word at the least distance (at most 2; 1 for words up to 3 letters), or null. */
export function nearest(word: string, known: readonly string[]): string | null {
  if (word.length > WORD_CHARACTERS_MAX) return null;
  const lower = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = (lower.length <= 3 ? 1 : DISTANCE_MAX) + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - lower.length) >= bestDistance) continue;
    const distance = editDistance(lower, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/**
 * Insertions, deletions, substitutions and exchanges of neighbours that lead from `a` to `b`
 * (optimal string alignment).
 */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
      );
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (exchanged) cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
