// A resource in the secondary role, on the round thread: the replica and the session of its
// primary. A new session waits until the writer of the old one has ended (receiver step 1).
import { type Clock, isoTime } from '../base/clock.js';
import type { HastError } from '../base/errors.js';
import type { Log } from '../base/log.js';
import type { ResourceSettings } from '../config/settings.js';
import type { DataState, PointRecord, TargetStatus, WorkState } from '../control/api.js';
import { stateWord } from '../control/state-word.js';
import { PeerError } from '../peer/faults.js';
import type { Session } from '../peer/session.js';
import type { Replica } from '../receive/replica.js';
import { serveTarget } from '../receive/serve.js';
import { ReplicaSession } from '../receive/session.js';
import { pointRecord } from './point-record.js';
import { pointStatus } from './target-status.js';
import type { ReplicationStatus } from './thread-messages.js';

export interface SecondaryResourceParts {
  readonly replica: Replica;
  readonly settings: ResourceSettings;
  readonly clock: Clock;
  readonly log: Log;
}

export class SecondaryResource {
  readonly parts: SecondaryResourceParts;
  #settings: ResourceSettings;
  #session: { readonly session: Session; readonly ended: Promise<void> } | null = null;
  #closed = false;
  /** Wall time since when no primary is connected; null: one is. */
  #aloneSinceMs: number | null;
  /** Why the last one who wanted in as the primary was turned away; null once one is in. */
  #turnedAway: { readonly atMs: number; readonly error: HastError } | null = null;

  constructor(parts: SecondaryResourceParts) {
    this.parts = parts;
    this.#settings = parts.settings;
    this.#aloneSinceMs = parts.clock.wallMs();
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

  /** A reload of the configuration. What the replica itself is told of it, it asks for. */
  async applySettings(settings: ResourceSettings): Promise<void> {
    this.#settings = settings;
  }

  /** Takes the session of a primary. */
  async serve(session: Session): Promise<void> {
    // Another one may have come in while the old one ended.
    while (this.#session !== null) await this.supersede();
    if (this.#closed) {
      await session.close();
      return;
    }
    this.#turnedAway = null;
    this.#aloneSinceMs = null;
    const { log, replica, clock } = this.parts;
    const target = new ReplicaSession(replica);
    log.info('the primary is connected', { remote: session.remote });
    const ended = serveTarget(session, target, { log }).then((reason) => {
      log.info('the primary is gone', { why: reason.message });
      if (this.#session?.session !== session) return;
      this.#session = null;
      this.#aloneSinceMs = clock.wallMs();
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
      alone: false,
      targets: [this.#primaryStatus()],
    };
  }

  points(): PointRecord[] {
    return this.parts.replica.record.chain.map(pointRecord);
  }

  /** Ends the session and finishes what is being applied. */
  async close(): Promise<void> {
    this.#closed = true;
    const session = this.#session;
    await session?.session.close();
    await session?.ended;
    await this.parts.replica.close();
  }

  /** The primary in place of a target: who is connected, else who was primary last. */
  #primaryStatus(): TargetStatus {
    const { replica } = this.parts;
    const { point } = replica;
    const { targets } = this.#settings;
    const connected = this.#session?.session ?? null;
    const last = replica.parts.resourceFile.state.epochs.at(-1)?.node;
    const name = connected?.facts.theirs.node ?? last ?? targets[0]?.name ?? 'primary';
    const settings = targets.find((target) => target.name === name);
    const axes = {
      role: 'secondary' as const,
      link: connected === null ? ('down' as const) : ('up' as const),
      work: this.#work(),
      data: this.#data(),
    };
    return {
      name,
      kind: 'replica',
      remote: settings?.remote ?? connected?.remote ?? null,
      link: axes.link,
      work: axes.work,
      data: axes.data,
      state: stateWord(axes),
      dirtyBytes: 0,
      lastPoint: pointStatus(point),
      lagSeconds: point === null ? null : 0,
      nextRun: null,
      skippedFirings: 0,
      round: null,
      lastError: this.#lastError(),
      verifiedAt: null,
      paused: false,
      rateBitsPerSecond: null,
      maxLagSeconds: settings?.maxLagSeconds ?? null,
      failedRounds: 0,
      unreachableSince: this.#aloneSinceMs === null ? null : isoTime(this.#aloneSinceMs),
      driftChunks: replica.driftChunks,
      untrackedChunks: 0,
      damagedChunks: replica.record.chain.at(-1)?.damagedChunks ?? 0,
    };
  }

  #work(): WorkState {
    const { work } = this.parts.replica;
    return work === 'comparing' ? 'settling' : work;
  }

  #data(): DataState {
    const { replica } = this.parts;
    if (replica.record.suspect !== null) return 'suspect';
    return replica.point === null ? 'initialising' : 'clean';
  }

  #lastError(): TargetStatus['lastError'] {
    const { comparing, record } = this.parts.replica;
    if (record.suspect !== null) {
      const time = isoTime(this.parts.clock.wallMs());
      const text = comparing === null ? record.suspect : `${record.suspect}; ${comparing}`;
      return { time, code: 'REPLICA_SUSPECT', text };
    }
    const last = this.#turnedAway ?? this.parts.replica.refused;
    if (last === null) return null;
    const { atMs, error } = last;
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
