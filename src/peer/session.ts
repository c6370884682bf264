// One session of two peers: questions with answers, pushes, and a beat that tells a silent peer
// from an idle one. Guarantees: messages leave in the order of `send`; the handler gets them one
// after another and nothing is read while it is busy, so that a slow receiver slows the sender and
// queues nothing (W5); everything pending rejects when the session ends, for whatever reason.
// Only promises and the clock handed in. Times are milliseconds.
import { AssertionError, assert } from '../base/assert.js';
import { type Clock, within } from '../base/clock.js';
import { describeError, HastError } from '../base/errors.js';
import { type Deferred, deferred, Mutex, Semaphore } from '../base/sync.js';
import { NetError } from '../net/faults.js';
import type { ByteStream } from '../net/stream.js';
import { encodeMessage } from './encode.js';
import { PeerError } from './faults.js';
import { CLOSE_TIMEOUT_MS, KEEPALIVE_MS, REQUESTS_MAX } from './limits.js';
import {
  type Answer,
  type Envelope,
  isAnswer,
  type Message,
  type PeerFacts,
  type Push,
  type Question,
} from './messages.js';
import type { MessageReader } from './reader.js';

/** Gets every question and push, one after another; the next is read when it has settled. A
 * rejection ends the session. */
export type Handler = (envelope: Envelope) => Promise<void> | void;

export interface SessionFacts {
  /** In every FRAME (H36). */
  readonly number: number;
  readonly mine: PeerFacts;
  readonly theirs: PeerFacts;
  /** Optional features that both sides have. */
  readonly features: number;
}

export class Session {
  readonly facts: SessionFacts;
  /** Resolves with the reason when the session has ended; never rejects. */
  readonly closed: Promise<HastError>;
  readonly #stream: ByteStream;
  readonly #reader: MessageReader;
  readonly #clock: Clock;
  readonly #end = deferred<HastError>();
  readonly #loopDone = deferred<void>();
  readonly #stop = new AbortController();
  readonly #sending = new Mutex();
  readonly #questions = new Semaphore(REQUESTS_MAX);
  readonly #pending = new Map<number, Deferred<Answer>>();
  #state: 'new' | 'running' | 'closing' | 'ended' = 'new';
  #reason: HastError | null = null;
  #nextRequest = 1;
  #heardMs: number;
  #sentMs: number;
  #handling = false;
  #queuedSends = 0;

  /** Made by greet.ts after HELLO and WELCOME. `reader` calls `heard` for bytes that come. */
  constructor(facts: SessionFacts, stream: ByteStream, reader: MessageReader, clock: Clock) {
    this.facts = facts;
    this.closed = this.#end.promise;
    this.#stream = stream;
    this.#reader = reader;
    this.#clock = clock;
    this.#heardMs = clock.monotonicMs();
    this.#sentMs = this.#heardMs;
  }

  /** The other side's address, for people. */
  get remote(): string {
    return this.#stream.remote;
  }

  /** Resolves when the session has ended and no handler of it runs any more. */
  async finished(): Promise<void> {
    await this.closed;
    await this.#loopDone.promise;
  }

  /** Bytes on the wire since the connection was made. */
  wireBytes(): { readonly up: number; readonly down: number } {
    return { up: this.#stream.bytesOut, down: this.#stream.bytesIn };
  }

  heard(): void {
    this.#heardMs = this.#clock.monotonicMs();
  }

  /** Starts reading; once. */
  start(handler: Handler): void {
    assert(this.#state !== 'running', 'a session is started once');
    if (this.#state !== 'new') return void this.#loopDone.resolve();
    this.#state = 'running';
    this.heard();
    this.#read(handler)
      .catch((error: unknown) => this.#over(error))
      .finally(() => this.#loopDone.resolve());
    this.#watch().catch((error: unknown) => this.#over(error));
  }

  /** Asks, and waits for the answer as long as the session lives. At most REQUESTS_MAX at once,
   * further ones wait. Rejects with the reason of the session's end. */
  async ask(question: Question): Promise<Answer> {
    await this.#questions.take();
    try {
      const request = this.#number();
      const answer = deferred<Answer>();
      answer.promise.catch(() => {}); // when the send fails first, nobody waits for it
      this.#pending.set(request, answer);
      try {
        await this.#send({ request, message: question });
        return await answer.promise;
      } finally {
        this.#pending.delete(request);
      }
    } finally {
      this.#questions.give();
    }
  }

  /** Answers question number `request`. */
  answer(request: number, message: Answer): Promise<void> {
    return this.#send({ request, message });
  }

  /** Sends without an answer; resolves when the stream has accepted it. */
  push(message: Push | Extract<Answer, { type: 'refused' | 'failed' }>): Promise<void> {
    return this.#send({ request: 0, message });
  }

  /** Ends in order: what was accepted still leaves, within CLOSE_TIMEOUT_MS. Twice is no harm. */
  async close(): Promise<void> {
    if (this.#state === 'closing' || this.#state === 'ended') return void (await this.closed);
    if (this.#state === 'new') this.#loopDone.resolve();
    this.#state = 'closing';
    const leaving = this.#sending.run(() => this.#stream.end());
    await within(
      this.#clock,
      CLOSE_TIMEOUT_MS,
      leaving.catch(() => {}),
    );
    this.#fail(this.#closedBecause('it was ended here'));
  }

  /** Ends at once with `reason`; pending calls reject with it. */
  destroy(reason: HastError): void {
    if (this.#state === 'new') this.#loopDone.resolve();
    this.#fail(reason);
  }

  async #send(envelope: Envelope): Promise<void> {
    if (this.#state === 'closing') throw this.#closedBecause('it is being ended here');
    if (this.#reason) throw this.#reason;
    const pieces = encodeMessage(envelope);
    this.#queuedSends += 1;
    try {
      await this.#sending.run(async () => {
        if (this.#reason) throw this.#reason;
        this.#sentMs = this.#clock.monotonicMs();
        await this.#stream.write(pieces); // rejects when the session ends: that cuts the stream
        if (this.#reason) throw this.#reason;
      });
    } catch (error) {
      this.#fail(this.#typed(error));
      throw this.#reason ?? error;
    } finally {
      this.#queuedSends -= 1;
    }
  }

  async #read(handler: Handler): Promise<void> {
    for (;;) {
      const envelope = await this.#reader.next();
      if (this.#state === 'ended') return;
      if (envelope === null) throw this.#closedBecause('the other side ended it');
      const { message, request } = envelope;
      if (message.type === 'ping') this.#beat({ type: 'pong' });
      else if (message.type === 'pong') continue;
      else if (isAnswer(message) && request !== 0) this.#settle(request, message);
      else await this.#handle(handler, envelope);
    }
  }

  async #handle(handler: Handler, envelope: Envelope): Promise<void> {
    const { message } = envelope;
    const { type } = message;
    if (type === 'refuse') {
      // The dialler judges our WELCOME too, and may not want it.
      const { refusal, text } = message;
      throw new PeerError({ code: 'PEER_REFUSED', peer: this.remote, refusal, text });
    }
    if (type === 'hello' || type === 'welcome') {
      const what = `${type} message inside a session`;
      throw new PeerError({ code: 'PEER_PROTOCOL', peer: this.remote, what });
    }
    this.#handling = true;
    try {
      await handler(envelope);
    } finally {
      this.#handling = false;
      this.heard();
    }
  }

  #settle(request: number, answer: Answer): void {
    const waiting = this.#pending.get(request);
    if (!waiting) {
      const what = `${answer.type} message for question ${request}, which nobody asked`;
      throw new PeerError({ code: 'PEER_PROTOCOL', peer: this.remote, what });
    }
    this.#pending.delete(request);
    waiting.resolve(answer);
  }

  /** Never waited for: a reader that waits to write can stand against its like at the other end.
   * When something is on its way already, that is beat enough. */
  #beat(message: Message): void {
    if (this.#queuedSends > 0) return;
    this.#send({ request: 0, message }).catch(() => {});
  }

  /** Sends the beat and notices silence. While the handler is busy nothing is read, so nothing
   * can be heard: that time does not count. */
  async #watch(): Promise<void> {
    const { mine, theirs } = this.facts;
    const beatMs = Math.min(KEEPALIVE_MS, Math.floor(theirs.timeoutMs / 3));
    while (this.#state === 'running') {
      const nowMs = this.#clock.monotonicMs();
      const silentMs = this.#handling ? 0 : nowMs - this.#heardMs;
      if (silentMs >= mine.timeoutMs) {
        const seconds = mine.timeoutMs / 1000;
        const doing = 'waiting for a sign of life';
        this.#fail(new NetError({ code: 'PEER_TIMEOUT', address: this.remote, seconds, doing }));
        return;
      }
      if (nowMs - this.#sentMs >= beatMs) this.#beat({ type: 'ping' });
      const untilBeatMs = this.#sentMs + beatMs - nowMs;
      const waitMs = Math.min(untilBeatMs > 0 ? untilBeatMs : beatMs, mine.timeoutMs - silentMs);
      await this.#clock.sleep(waitMs, this.#stop.signal);
    }
  }

  /** Our own mistakes go on upwards, unhandled, and stop the program. */
  #over(error: unknown): void {
    this.#fail(this.#typed(error));
    if (error instanceof AssertionError) throw error;
  }

  #fail(reason: HastError): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#reason = reason;
    this.#stop.abort();
    this.#stream.destroy(describeError(reason));
    for (const waiting of this.#pending.values()) waiting.reject(reason);
    this.#pending.clear();
    this.#end.resolve(reason);
  }

  #number(): number {
    const number = this.#nextRequest;
    this.#nextRequest = number === 0xffff_ffff ? 1 : number + 1;
    return number;
  }

  #closedBecause(why: string): HastError {
    return new NetError({ code: 'PEER_CLOSED', address: this.remote, why });
  }

  #typed(error: unknown): HastError {
    return error instanceof HastError ? error : this.#closedBecause(describeError(error));
  }
}
