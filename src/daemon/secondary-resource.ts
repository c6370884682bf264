// A resource in the secondary role, on the round thread: the replica and the session of its
// primary. A new session waits until the writer of the old one has ended (receiver step 1).
import { type Clock, isoTime } from '../base/clock.js';
import type { HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { hex } from '../base/random.js';
import type { PointRecord, TargetStatus } from '../control/api.js';
import { stateWord } from '../control/state-word.js';
import { PeerError } from '../peer/faults.js';
import type { Session } from '../peer/session.js';
import type { Replica } from '../receive/replica.js';
import { serveTarget } from '../receive/serve.js';
import { ReplicaSession } from '../receive/session.js';
import type { ReplicationStatus } from './thread-messages.js';

export interface SecondaryResourceParts {
  readonly replica: Replica;
  /** Name and address of the primary, for status. */
  readonly primary: { readonly name: string; readonly remote: string | null };
  readonly clock: Clock;
  readonly log: Log;
}

export class SecondaryResource {
  readonly parts: SecondaryResourceParts;
  #session: { readonly session: Session; readonly ended: Promise<void> } | null = null;
  #closed = false;
  /** Why the last one who wanted in as the primary was turned away; null once one is in. */
  #turnedAway: { readonly atMs: number; readonly error: HastError } | null = null;

  constructor(parts: SecondaryResourceParts) {
    this.parts = parts;
  }

  get connected(): boolean {
    return this.#session !== null;
  }

  /** Ends the session that is there and waits for its writer: what this replica then says of
   * itself is not about to change (receiver step 1, H23). */
  async supersede(): Promise<void> {
    const old = this.#session;
    if (old !== null) old.session.destroy(superseded(old.session));
    await old?.ended;
  }

  turnedAway(error: HastError): void {
    this.#turnedAway = { atMs: this.parts.clock.wallMs(), error };
  }

  /** Takes the session of a primary. */
  async serve(session: Session): Promise<void> {
    await this.supersede();
    if (this.#closed) {
      await session.close();
      return;
    }
    this.#turnedAway = null;
    const { log, replica } = this.parts;
    const target = new ReplicaSession(replica);
    log.info('the primary is connected', { remote: session.remote });
    const ended = serveTarget(session, target, { log }).then((reason) => {
      log.info('the primary is gone', { why: reason.message });
      if (this.#session?.session === session) this.#session = null;
    });
    this.#session = { session, ended };
    await ended;
  }

  status(): ReplicationStatus {
    const { replica } = this.parts;
    const { state } = replica.parts.resourceFile;
    return {
      sizeBytes: state.sizeBytes || null,
      extentBytes: state.extentBytes || null,
      keepdirty: state.keepdirty,
      spillBytes: 0,
      error: replica.applyError?.message ?? null,
      counters: null,
      targets: [this.#primaryStatus()],
    };
  }

  points(): PointRecord[] {
    return this.parts.replica.record.chain.map((entry) => ({
      id: hex(entry.point.id),
      number: entry.point.number,
      time: isoTime(entry.point.timeMs),
      parent: entry.parent === null ? null : hex(entry.parent),
      consistency: entry.consistency,
      sizeBytes: entry.sizeBytes,
      changedBytes: entry.changedBytes,
      target: null,
    }));
  }

  /** Ends the session and finishes what is being applied. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = this.#session;
    await session?.session.close();
    await session?.ended;
    await this.parts.replica.close();
  }

  #primaryStatus(): TargetStatus {
    const { replica, primary } = this.parts;
    const { point } = replica;
    const { suspect } = replica.record;
    const axes = {
      role: 'secondary' as const,
      link: this.#session === null ? ('down' as const) : ('up' as const),
      work: replica.work,
      data:
        suspect !== null
          ? ('suspect' as const)
          : point === null
            ? ('initialising' as const)
            : ('clean' as const),
    };
    return {
      name: primary.name,
      kind: 'replica',
      remote: primary.remote,
      ...axes,
      state: stateWord(axes),
      dirtyBytes: 0,
      lastPoint:
        point === null
          ? null
          : { id: hex(point.id), number: point.number, time: isoTime(point.timeMs) },
      lagSeconds: point === null ? null : 0,
      nextRun: null,
      skippedFirings: 0,
      round: null,
      lastError: this.#lastError(),
      verifiedAt: null,
    };
  }

  #lastError(): TargetStatus['lastError'] {
    const { suspect } = this.parts.replica.record;
    if (suspect !== null) {
      const time = isoTime(this.parts.clock.wallMs());
      return { time, code: 'REPLICA_SUSPECT', text: suspect };
    }
    if (this.#turnedAway === null) return null;
    const { atMs, error } = this.#turnedAway;
    return { time: isoTime(atMs), code: error.fault.code, text: error.message };
  }
}

const superseded = (session: Session) =>
  new PeerError({
    code: 'PEER_UNWANTED',
    peer: session.remote,
    refusal: 'busy',
    text: 'the primary has connected anew',
  });
