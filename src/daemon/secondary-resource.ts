// A resource in the secondary role, on the round thread: the replica and the session of its
// primary. A new session waits until the writer of the old one has ended (receiver step 1).
import { type Clock, isoTime } from '../base/clock.js';
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

  constructor(parts: SecondaryResourceParts) {
    this.parts = parts;
  }

  get connected(): boolean {
    return this.#session !== null;
  }

  /** Takes the session of a primary; one that is still there gives way (H36). */
  async serve(session: Session): Promise<void> {
    const old = this.#session;
    if (old !== null) old.session.destroy(superseded(old.session));
    await old?.ended;
    if (this.#closed) {
      await session.close();
      return;
    }
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
      lastError:
        suspect === null
          ? null
          : { time: isoTime(this.parts.clock.wallMs()), code: 'REPLICA_SUSPECT', text: suspect },
      verifiedAt: null,
    };
  }
}

const superseded = (session: Session) =>
  new PeerError({
    code: 'PEER_UNWANTED',
    peer: session.remote,
    refusal: 'busy',
    text: 'the primary has connected anew',
  });
