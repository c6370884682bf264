// Makes the history of a broken run smaller: leaves out acts, larger parts first, as long as the
// same promise is still broken. Acts draw from numbers of their own, so the others stay as they
// were.
import type { Setup } from './setup.js';
import { simulate } from './simulate.js';

const TRIES_MAX = 200;

export async function shrink(setup: Setup, broken: Error): Promise<Setup> {
  const wanted = kindOf(broken);
  let least = setup;
  let tries = 0;
  for (let part = Math.ceil(setup.acts.length / 2); part >= 1; part = Math.floor(part / 2)) {
    for (let at = 0; at < least.acts.length && tries < TRIES_MAX; ) {
      tries += 1;
      const acts = [...least.acts.slice(0, at), ...least.acts.slice(at + part)];
      const ended = await simulate({ ...least, acts });
      if (ended.broken !== null && kindOf(ended.broken) === wanted) least = { ...least, acts };
      else at += part;
    }
  }
  return least;
}

/** The promise, or the beginning of what was said. */
const kindOf = ({ message }: Error): string =>
  /\b[A-Z]\d:/.exec(message)?.[0] ?? message.slice(0, 20);
