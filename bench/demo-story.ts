// The seven steps of the demonstration, in their order. Each says what it does; what it finds goes
// into the table. A step that cannot be done rejects; a wrong result is a row that is not good.
import type { Clock } from '../src/base/clock.js';
import { humanBytes, MIB } from '../src/base/units.js';
import { progressText } from '../src/cli/text.js';
import type { RoundRecord } from '../src/control/api.js';
import { EXIT } from '../src/control/exit-status.js';
import type { Acknowledged, Comparison } from './demo-acknowledged.js';
import { DemoError } from './demo-fault.js';
import type { Guest } from './demo-guest.js';
import { type Nodes, RESOURCE } from './demo-nodes.js';
import type { DemoOptions } from './demo-options.js';
import type { Row, Show } from './demo-show.js';
import { NbdClient } from './nbd-client.js';

/** The guest's pace while it writes beside a round: about 10 MiB a second. */
const WRITES_PER_SECOND = 300;
/** A burst of the guest: this share of the disk, at most 48 MiB. */
const BURST_SHARE = 10;
const BURST_BYTES_MAX = 48 * MIB;
/** Writes go on for so long after the last round, until the kill. */
const AFTER_ROUND_MS = 300;
const POLL_MS = 100;
const PROGRESS_POLL_MS = 500;
/** The shortest that hast.conf takes. */
export const INTERVAL_SECONDS = 10;
/** How long a firing may be late, and its round take. */
const FIRING_SLACK_MS = 60_000;
/** Where --flip-byte strikes, as a share of the disk. */
const FLIP_AT = 0.5;

export interface Stage {
  readonly nodes: Nodes;
  readonly guest: Guest;
  readonly acknowledged: Acknowledged;
  readonly options: DemoOptions;
  readonly show: Show;
  readonly clock: Clock;
}

/** Tells the whole story; returns the rows of the table. */
export async function tellStory(stage: Stage): Promise<readonly Row[]> {
  const story = new Story(stage);
  await story.firstCopy();
  await story.guestWrites();
  await story.scheduledRound();
  await story.identicalContent();
  const point = await story.lastRoundAndKill();
  await story.promotion(point);
  await story.comparison();
  return story.rows;
}

class Story {
  readonly rows: Row[] = [];
  readonly #stage: Stage;
  readonly #known = new Set<string>();
  readonly #burstBytes: number;

  constructor(stage: Stage) {
    this.#stage = stage;
    const { sizeBytes } = stage.acknowledged;
    this.#burstBytes = Math.min(BURST_BYTES_MAX, Math.ceil(sizeBytes / BURST_SHARE));
  }

  async firstCopy(): Promise<void> {
    const { nodes, show, clock } = this.#stage;
    show.step(1, 'first copy: a becomes primary, b secondary, over TLS');
    await Promise.all([nodes.start('a'), nodes.start('b')]);
    await Promise.all([
      nodes.tell('a', ['create', RESOURCE]),
      nodes.tell('b', ['create', RESOURCE]),
    ]);
    await nodes.tell('b', ['role', 'secondary', RESOURCE]);
    await nodes.tell('a', ['role', 'primary', RESOURCE]);
    const copying = new AbortController();
    const copied = nodes.sync().finally(() => copying.abort());
    const watched = async (): Promise<void> => {
      while (!copying.signal.aborted) {
        const round = (await nodes.status('a')).targets[0]?.round ?? null;
        if (round !== null && !copying.signal.aborted) show.progress(progressText(round));
        await clock.sleep(PROGRESS_POLL_MS, copying.signal);
      }
    };
    await Promise.all([copied, watched()]);
    await this.#collect('1 first copy');
    this.#lastRound();
  }

  async guestWrites(): Promise<void> {
    const { nodes, guest, show } = this.#stage;
    show.step(2, "a guest works on a's disk through NBD: 8 writes of 4 to 64 KiB in flight");
    await guest.attach(nodes.nbdOf('a'), RESOURCE);
    await guest.write(this.#burstBytes);
    const trimmed = await guest.trim();
    const { writes, writtenBytes, flushes } = guest.counts;
    show.line(
      `${writes} writes, ${humanBytes(writtenBytes)}, ${flushes} flushes, ` +
        `a TRIM of ${humanBytes(trimmed)}, all acknowledged`,
    );
    await this.#collect('2 guest writes');
  }

  async scheduledRound(): Promise<void> {
    const { nodes, guest, show, clock } = this.#stage;
    show.step(3, `the schedule (interval ${INTERVAL_SECONDS}s) starts a round; the guest goes on`);
    const stop = new AbortController();
    const writing = guest.keepWriting(WRITES_PER_SECOND, stop.signal);
    writing.catch(() => undefined); // looked at below, unless something else fails first
    try {
      const untilMs = clock.monotonicMs() + INTERVAL_SECONDS * 1000 + FIRING_SLACK_MS;
      for (let found = 0; found === 0; found = await this.#collect('3 scheduled round')) {
        if (clock.monotonicMs() > untilMs) throw failed('the schedule started no round');
        const next = (await nodes.status('a')).targets[0]?.nextRun ?? null;
        if (next !== null) {
          const seconds = Math.max(0, (Date.parse(next) - clock.wallMs()) / 1000);
          show.progress(`next round in ${seconds.toFixed(0)} s`);
        }
        await clock.sleep(2 * POLL_MS);
      }
    } finally {
      stop.abort();
    }
    if ((await writing) === 'lost') throw failed('the export of a went away');
    this.#lastRound();
    await nodes.sync();
    await this.#collect('3 what was written meanwhile');
  }

  async identicalContent(): Promise<void> {
    const { nodes, guest, show } = this.#stage;
    show.step(4, 'the guest writes what stands there already');
    const bytes = await guest.rewrite(this.#burstBytes);
    await nodes.sync();
    const nothingSent = (round: RoundRecord): string | null =>
      round.sentBytes === 0 ? null : `${humanBytes(round.sentBytes)} sent, should be none`;
    await this.#collect('4 identical content', nothingSent);
    show.line(`${humanBytes(bytes)} rewritten`);
    this.#lastRound();
  }

  /** Returns the number of the point that the replica must be promoted at. */
  async lastRoundAndKill(): Promise<number> {
    const { nodes, guest, acknowledged, show, clock } = this.#stage;
    show.step(5, 'a is stopped and started again (hourly now); writes, a last round, more writes');
    await guest.detach();
    await nodes.tell('a', ['stop']);
    nodes.setSchedule('interval 1h');
    await nodes.start('a');
    await nodes.tell('a', ['role', 'primary', RESOURCE]);
    await guest.attach(nodes.nbdOf('a'), RESOURCE);
    await guest.write(this.#burstBytes);
    acknowledged.cutHere();
    const before = guest.counts.writes;
    const syncing = nodes.sync();
    await this.#seenPastCut(syncing);
    const later = guest.keepWriting(WRITES_PER_SECOND, new AbortController().signal);
    later.catch(() => undefined); // as above
    const point = await syncing;
    await this.#collect('5 last round');
    if (point === null) throw failed('the last round found nothing dirty');
    this.#lastRound();
    const { counters } = await nodes.status('a');
    await clock.sleep(AFTER_ROUND_MS);
    await nodes.kill('a');
    if ((await later) === 'stopped') throw failed('the guest stopped by itself');
    show.line(
      `kill -9 of a, with writes in flight; ${guest.counts.writes - before} writes after the ` +
        `cut (${counters?.preservedChunks ?? 0} chunks preserved for the round)`,
    );
    return point;
  }

  async promotion(point: number): Promise<void> {
    const { nodes, show } = this.#stage;
    show.step(6, 'promotion of b');
    const refused = await nodes.ask('b', ['role', 'primary', RESOURCE]);
    if (refused.status !== EXIT.lossNotAccepted) {
      throw failed(`b was to refuse the promotion with status ${EXIT.lossNotAccepted}, but ended \
with ${refused.status}: ${refused.stderr}`);
    }
    show.line(`refused at first: ${refused.stderr.replace(/^hastctl: /, '')}`);
    // While it is a replica it names the points it holds.
    const { points } = (await nodes.tell('b', ['points', RESOURCE])) as {
      readonly points: readonly { readonly number: number }[];
    };
    const newest = points.at(-1)?.number ?? null;
    if (newest !== point) throw failed(`b should be at point ${point}, it is at ${newest}`);
    await nodes.tell('b', ['role', 'primary', RESOURCE, '--accept-loss']);
    show.line(`with --accept-loss b is primary, at point ${point}`);
  }

  async comparison(): Promise<void> {
    const { nodes, acknowledged, options, show, clock } = this.#stage;
    show.step(7, "b's disk, read through NBD, against what the guest was answered before the cut");
    const beganMs = clock.monotonicMs();
    const client = await NbdClient.open(nodes.nbdOf('b'), RESOURCE);
    try {
      if (options.flipByte) await this.#flip(client);
      const found = await acknowledged.compare(client);
      const sized = client.sizeBytes === acknowledged.sizeBytes;
      const verdict = sized ? comparisonText(found) : `its size is ${client.sizeBytes}`;
      const seconds = (clock.monotonicMs() - beganMs) / 1000;
      const good = sized && found.differing === 0;
      this.rows.push({ step: '7 comparison', round: null, seconds, verdict, good });
      show.line(verdict);
      if (found.differing > 0) show.line(`first differing at byte ${found.examples.join(', ')}`);
    } finally {
      await client.close();
    }
  }

  /** Takes the rounds that are new since the last call into the table; returns how many. */
  async #collect(
    step: string,
    check: (round: RoundRecord) => string | null = () => null,
  ): Promise<number> {
    const fresh = (await this.#stage.nodes.rounds()).filter(({ id }) => !this.#known.has(id));
    for (const round of fresh) {
      this.#known.add(round.id);
      const { outcome, seconds, error } = round;
      const wrong = outcome === 'committed' ? check(round) : `${outcome}: ${error ?? 'no reason'}`;
      const verdict = wrong ?? `${outcome}, point ${round.point ?? '?'}`;
      this.rows.push({ step, round, seconds, verdict, good: wrong === null });
    }
    return fresh.length;
  }

  #lastRound(): void {
    const round = this.rows.at(-1)?.round;
    if (!round) throw failed('no round was run');
    const wire = humanBytes(round.wireUpBytes + round.wireDownBytes);
    this.#stage.show.line(
      `round ${round.outcome} in ${round.seconds.toFixed(1)} s: ${humanBytes(round.dirtyBytes)} ` +
        `dirty, ${humanBytes(round.skippedBytes)} skipped, ${humanBytes(round.sentBytes)} sent, ` +
        `${wire} on the wire`,
    );
  }

  /** Returns when the running round has made its cut (its size is known), or has ended. */
  async #seenPastCut(syncing: Promise<unknown>): Promise<void> {
    const { nodes, clock } = this.#stage;
    const ended = new AbortController();
    const end = (): void => ended.abort();
    syncing.then(end, end);
    while (!ended.signal.aborted) {
      const round = (await nodes.status('a')).targets[0]?.round ?? null;
      if (round?.kind === 'round' && round.totalBytes > 0) return;
      await clock.sleep(POLL_MS / 4, ended.signal);
    }
  }

  async #flip(client: NbdClient): Promise<void> {
    const { acknowledged, show } = this.#stage;
    const offset = Math.floor(acknowledged.sizeBytes * FLIP_AT);
    const byte = Buffer.alloc(1);
    await client.read(offset, byte);
    byte[0] = (byte[0] ?? 0) ^ 1;
    await client.write(offset, byte);
    show.line(`--flip-byte: byte ${offset} of b's disk is changed now`);
  }
}

const failed = (text: string) => new DemoError({ code: 'DEMO_STEP_FAILED', text });

function comparisonText(found: Comparison): string {
  if (found.differing === 0) {
    return (
      `${found.blocks} blocks compared, 0 differ ` +
      `(${found.writtenLater} were written again after the cut)`
    );
  }
  return (
    `${found.differing} of ${found.blocks} blocks differ from what was acknowledged at the cut ` +
    `(${found.differingWrittenLater} of them were written again after it)`
  );
}
