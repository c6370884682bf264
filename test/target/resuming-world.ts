// A fake target behind a link that can be cut, and the target that resumes in front of it. Time is
// the test's, everything is in memory, so that a seed decides every order.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { HastError } from '../../src/base/errors.js';
import { describeError } from '../../src/base/errors.js';
import { type Fields, type Log, silentLog } from '../../src/base/log.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import type { RoundId } from '../../src/lineage/lineage.js';
import { greet, receiveGreeting } from '../../src/peer/greet.js';
import { serveTarget } from '../../src/receive/serve.js';
import { remoteTarget } from '../../src/target/remote.js';
import { ResumingTarget } from '../../src/target/resuming.js';
import { type Target, TargetError } from '../../src/target/target.js';
import { memoryStreamPair } from '../net/memory-stream.js';
import { factsOf } from '../peer/material.js';
import { FakeClock } from '../world/fake-clock.js';
import { CutStream } from './cut-stream.js';
import { FakeTarget } from './fake-target.js';
import type { RoundMaterial, TargetStores } from './target-contract.js';
import { roundsFrom, storesOf } from './worlds.js';

export const KEEP_MS = 20_000;
export const STALL_MS = 60_000;

export interface ResumingOptions {
  readonly fake?: FakeTarget;
  readonly clock?: FakeClock;
  readonly random?: Random;
  readonly keepMs?: number;
  /** Called with every session that stands, before anything is asked on it. */
  readonly connected?: (link: CutStream, session: number) => void;
  /** In place of a new session: rejects, or waits. */
  readonly dialling?: (tries: number) => Promise<void>;
}

export interface ResumingWorld {
  readonly target: ResumingTarget;
  readonly fake: FakeTarget;
  readonly clock: FakeClock;
  /** Every link that was dialled, the first included. */
  readonly links: CutStream[];
  /** Rounds `again` was called for, and when. */
  readonly dials: { readonly round: string; readonly atMs: number }[];
  readonly warnings: string[];
  round(frames: number, frameBytes?: number): RoundMaterial;
  stores(): TargetStores;
  /** Cuts the link that stands. */
  cut(): void;
  /** Bytes of `frames` that left more than once. */
  resent(frames: readonly Uint8Array[]): number;
}

export const lostError = (text: string) =>
  new TargetError({ code: 'TARGET_LOST', target: 'b', text });

/** `again` of the target rejects as TARGET_LOST whatever goes wrong on the way to a session. */
export async function resumingWorld(
  t: TestContext,
  options: ResumingOptions = {},
): Promise<ResumingWorld> {
  const { fake = new FakeTarget(), random = seededRandom(31) } = options;
  const clock = options.clock ?? new FakeClock({ autoAdvance: true });
  const links: CutStream[] = [];
  const dials: { round: string; atMs: number }[] = [];
  const warnings: string[] = [];
  let served: Promise<HastError | null> = Promise.resolve(null);

  const dial = async (): Promise<Target> => {
    const [inner, far] = memoryStreamPair();
    const link = new CutStream(inner);
    links.push(link);
    const before = served;
    const host = {
      node: 'b',
      // As a host does: the writer of the old session has ended.
      find: async () => {
        await before;
        return { facts: { ...factsOf('b'), point: fake.point }, insecure: false };
      },
    };
    const hosting = receiveGreeting(far, { identity: 'vm1' }, host, { clock, random })
      .then((session) => serveTarget(session, fake, { log: silentLog }))
      .catch(() => null);
    served = before.then(() => hosting);
    const session = await greet(link, factsOf('a'), { clock, random });
    options.connected?.(link, links.length - 1);
    return remoteTarget(session, 'b');
  };

  const again = async (round: RoundId): Promise<Target> => {
    dials.push({ round: hex(round), atMs: clock.monotonicMs() });
    await options.dialling?.(dials.length);
    return dial().catch((error: unknown) => {
      throw lostError(describeError(error));
    });
  };
  const log: Log = {
    ...silentLog,
    warn: (sentence: string, fields?: Fields) =>
      warnings.push(`${sentence} ${JSON.stringify(fields ?? {})}`),
  };
  const keepMs = options.keepMs ?? KEEP_MS;
  const parts = { again, keepMs, stallMs: STALL_MS, clock, random, log };
  const target = new ResumingTarget(await dial(), parts);
  const cut = (): void => links.at(-1)?.destroy('pulled the cable');
  t.after(async () => {
    await target.close();
    clock.autoAdvance = false;
  });
  return {
    target,
    fake,
    clock,
    links,
    dials,
    warnings,
    round: roundsFrom(fake, random),
    stores: () => storesOf(fake),
    cut,
    resent: (frames) => bytesAgain(links, frames),
  };
}

function bytesAgain(links: readonly CutStream[], frames: readonly Uint8Array[]): number {
  const seen = new Set<number>();
  let bytes = 0;
  for (const number of links.flatMap((link) => link.frames)) {
    const frame = frames[number];
    assert.ok(frame, `frame ${number} was put`);
    if (seen.has(number)) bytes += frame.length;
    seen.add(number);
  }
  return bytes;
}
