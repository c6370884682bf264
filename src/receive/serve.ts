// Serves a `Target` of this process to the primary at the other end of a session; the mirror of
// target/remote.ts. Guarantees: messages reach the target one after another in the order of
// sending, and while one is being worked on the next is not read, so that a slow disk slows the
// sender (W5); frames of another session are dropped (H36); after a frame that was not taken, no
// later frame of that round and no commit of it reaches the target; what the target wants whole is
// told before the answer to COMMIT that says so (H28); when the session is over and its last call
// has returned, the target is closed: then no writer of it is left (RULES.md §1). What it keeps of
// a round for the next session is its own business (D3).
import type { HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { type RoundId, sameId } from '../lineage/lineage.js';
import { PeerError } from '../peer/faults.js';
import { DOUBTS_CHUNKS_MAX, REQUESTS_MAX, WANT_CHUNKS_MAX } from '../peer/limits.js';
import type { Answer, Envelope, Of, Trouble } from '../peer/messages.js';
import type { Session } from '../peer/session.js';
import type { Target } from '../target/target.js';
import { applyTrouble, endedOnly, roundOf, trouble } from './trouble.js';

export interface ServeMachinery {
  readonly log: Log;
}

/** Serves until the session ends, then closes `receiver`; resolves with the reason of the end.
 * The session is not yet started. `receiver.close()` must settle what still waits in `applied`
 * and `staged`. */
export async function serveTarget(
  session: Session,
  receiver: Target,
  { log }: ServeMachinery,
): Promise<HastError> {
  const serving = new Serving(session, receiver, log);
  session.start((envelope) => serving.take(envelope));
  const reason = await session.closed;
  await session.finished();
  serving.over();
  await receiver.close();
  return reason;
}

/** The round begun last, and why nothing of it is taken any more. */
interface Running {
  readonly id: RoundId;
  broken: Trouble | null;
}

class Serving {
  readonly #session: Session;
  readonly #receiver: Target;
  readonly #log: Log;
  #round: Running | null = null;
  #waitingForApply = 0;
  #foreignFrames = 0;

  constructor(session: Session, receiver: Target, log: Log) {
    this.#session = session;
    this.#receiver = receiver;
    this.#log = log;
  }

  over(): void {
    this.#round = null;
    const frames = this.#foreignFrames;
    if (frames > 0) this.#log.warn('frames of another session were dropped', { frames });
  }

  /** One message; settles when the next may be read. */
  async take(envelope: Envelope): Promise<void> {
    const { request, message } = envelope;
    if (message.type === 'frame' || message.type === 'reuse') return this.#frame(message);
    if (message.type === 'wait-applied') return this.#waitApplied(request, message);
    const answer = await this.#answer(message).catch((error: unknown) => {
      if (error instanceof PeerError) throw error;
      return trouble(error, roundOf(message));
    });
    await this.#session.answer(request, answer);
    // Behind the answer, so that the watermark of a round never overtakes its BEGUN.
    if (answer.type === 'begun' && this.#round) this.#watchStaged(this.#round, answer.staged);
  }

  async #answer(message: Envelope['message']): Promise<Answer> {
    const receiver = this.#receiver;
    switch (message.type) {
      case 'outcome':
        return { type: 'outcome-is', outcome: await receiver.outcome(message.round) };
      case 'digests': {
        const { first, count, from } = message;
        return { type: 'digests-are', ...(await receiver.digests(first, count, from)) };
      }
      case 'begin':
        return this.#begin(message);
      case 'held': {
        const { first, count } = message;
        return { type: 'held-are', first, entries: await receiver.held(first, count) };
      }
      case 'doubts':
        return this.#doubts(message);
      case 'chunk': {
        const bytes = await receiver.chunk(message.chunk, message.at);
        return { type: 'chunk-is', bytes: bytes ?? new Uint8Array(0) };
      }
      case 'commit':
        return this.#commit(message);
      case 'abandon':
        if (this.#isRunning(message.round)) this.#round = null;
        await receiver.abandon(message.round);
        return { type: 'abandoned', round: message.round };
      default: {
        const what = `${message.type} message, which only a secondary may send`;
        throw new PeerError({ code: 'PEER_PROTOCOL', peer: this.#session.remote, what });
      }
    }
  }

  async #begin({ begin }: Of<'begin'>): Promise<Answer> {
    this.#round = null;
    await this.#receiver.begin(begin);
    const staged = await this.#receiver.staged(0);
    this.#round = { id: begin.round, broken: null };
    return { type: 'begun', round: begin.round, staged };
  }

  async #commit({ commit }: Of<'commit'>): Promise<Answer> {
    const running = this.#isRunning(commit.round) ? this.#round : null;
    if (running?.broken) return running.broken;
    const answer = await this.#receiver.commit(commit);
    const { round } = commit;
    if (answer.outcome === 'committed') return { type: 'committed', round };
    if (answer.outcome === 'wanted') {
      await this.#tellWanted(round);
      return { type: 'wanted', round };
    }
    return { type: 'refused', round, reason: answer.reason, text: answer.text };
  }

  async #doubts({ first }: Of<'doubts'>): Promise<Answer> {
    const { chunks, complete } = await this.#receiver.doubts(first);
    const told = chunks.slice(0, DOUBTS_CHUNKS_MAX);
    return {
      type: 'doubts-are',
      chunks: told,
      complete: complete && told.length === chunks.length,
    };
  }

  /** A frame, or what to make it of: both keep one order. */
  async #frame(frame: Of<'frame' | 'reuse'>): Promise<void> {
    if (frame.session !== this.#session.facts.number) {
      this.#foreignFrames += 1;
      return;
    }
    const running = this.#isRunning(frame.round) ? this.#round : null;
    if (!running || running.broken) return; // given up meanwhile: the sender has been told
    try {
      if (frame.type === 'frame') await this.#receiver.put(frame.number, frame.bytes);
      else await this.#receiver.reuse(frame.number, frame.items);
    } catch (error) {
      return this.#break(running, error);
    }
    await this.#tellWanted(running.id);
  }

  /** May take as long as an apply: answered aside, so that frames of the next round are staged
   * meanwhile (H25). */
  async #waitApplied(request: number, { point }: Of<'wait-applied'>): Promise<void> {
    if (this.#waitingForApply >= REQUESTS_MAX) {
      const what = `more than ${REQUESTS_MAX} questions at once`;
      throw new PeerError({ code: 'PEER_PROTOCOL', peer: this.#session.remote, what });
    }
    this.#waitingForApply += 1;
    this.#receiver
      .applied(point)
      .then(
        (): Answer => ({ type: 'applied', point }),
        (error: unknown): Answer => applyTrouble(error, point),
      )
      .then((answer) => this.#session.answer(request, answer))
      .catch(endedOnly)
      .finally(() => {
        this.#waitingForApply -= 1;
      });
  }

  /** Tells the sender of every growth of the watermark, as long as this round is the one. */
  #watchStaged(running: Running, from: number): void {
    const watch = async (): Promise<void> => {
      for (let frames = from; ; ) {
        frames = await this.#receiver.staged(frames + 1);
        if (this.#round !== running || running.broken) return;
        await this.#session.push({ type: 'staged', round: running.id, frames });
      }
    };
    watch().catch(async (error: unknown) => {
      if (this.#round === running) await this.#break(running, error);
    });
  }

  async #tellWanted(round: RoundId): Promise<void> {
    const wanted = this.#receiver.takeWanted();
    for (let at = 0; at < wanted.length; at += WANT_CHUNKS_MAX) {
      const chunks = wanted.slice(at, at + WANT_CHUNKS_MAX);
      await this.#session.push({ type: 'want', round, chunks });
    }
  }

  async #break(running: Running, error: unknown): Promise<void> {
    if (running.broken) return;
    running.broken = trouble(error, running.id);
    const { round: _, ...why } = running.broken;
    this.#log.warn('frame not taken', { peer: this.#session.remote, ...why });
    await this.#session.push(running.broken).catch(endedOnly);
  }

  #isRunning(round: RoundId): boolean {
    return this.#round !== null && sameId(this.#round.id, round);
  }
}
