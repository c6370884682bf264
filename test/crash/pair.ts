// A primary and its replica on one fake clock, the link between them, and the model of what must
// be: every point's image as of its cut. A pair can be forked: the machine that crashed goes on
// from what its crash left, the other one as it is (its session has ended) or restarted too.
import { setImmediate as turn } from 'node:timers/promises';
import { present } from '../../src/base/assert.js';
import { hex, type Random, seededRandom } from '../../src/base/random.js';
import type { PointRef, RoundId } from '../../src/lineage/lineage.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { type Contact, contact, recordOf } from '../../src/round/contact.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts, type RoundCounts } from '../../src/round/parts.js';
import { type RoundResult, runRound } from '../../src/round/round.js';
import { settle } from '../../src/round/settle.js';
import { ResumingTarget } from '../../src/target/resuming.js';
import type { Target } from '../../src/target/target.js';
import { FakeClock } from '../world/fake-clock.js';
import { CrashWorld, type LossClass } from '../world/memory-files.js';
import { Guest } from './guest.js';
import { Link } from './link.js';
import { DISK, type Knobs, PrimaryNode, ReplicaNode, type Shape } from './nodes.js';

export type Side = 'sender' | 'receiver';

/** A round's point and the disk at its cut, in the order of the cuts. */
export interface Cut {
  readonly to: PointRef;
  readonly image: Uint8Array;
  /** The sender has been told that it is committed. */
  answered: boolean;
}

/** A write of a guest; `flushed`: it has been told that it is durable. */
export interface Written {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly flushed: boolean;
}

const never = new AbortController().signal;

/** A world with an empty state directory; `disk` is there already on the primary. */
export function newWorld(disk: Uint8Array | null, turn?: () => Promise<void>): CrashWorld {
  const world = new CrashWorld(turn === undefined ? {} : { turn });
  world.plant('/state/.made', 0);
  if (disk !== null) world.plant(DISK, disk);
  return world;
}

/** Content of a disk before hast knew it: chunks of data and holes. */
export function firstContent(sizeBytes: number, random: Random): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65_536) {
    const data = random.bytes(Math.min(4096, sizeBytes - at));
    if (random.below(3) > 0) bytes.set(data, at);
  }
  return bytes;
}

export class Pair {
  readonly shape: Shape;
  readonly knobs: Knobs;
  readonly clock: FakeClock;
  readonly random: Random;
  readonly guest: Guest;
  readonly cuts: Cut[];
  senderWorld: CrashWorld;
  receiverWorld: CrashWorld;
  primary: PrimaryNode | null = null;
  replica: ReplicaNode | null = null;
  link: Link | null = null;
  /** The replica's disk has been written behind its back and not been mended yet. */
  suspicious = false;
  /** It has been, at some time. */
  drifted = false;
  /** What a guest of the replica, promoted, has begun to write. */
  promoted: readonly Written[] = [];
  /** What guests do before a call is passed on, while it is set. */
  during: ((call: string) => Promise<void>) | null = null;
  /** Told when the sender has been told that a round is committed. */
  onCommitted: (() => void) | null = null;
  #boots = 0;
  /** The first copy that was filled last. */
  #fill: RoundId | null = null;

  constructor(shape: Shape, seed: number, knobs: Knobs = {}, from?: Pair) {
    this.shape = shape;
    this.knobs = knobs;
    this.clock = from?.clock ?? new FakeClock({ autoAdvance: true });
    this.random = seededRandom(seed);
    this.guest = new Guest(seededRandom(seed + 1));
    this.cuts = from ? from.cuts.map((cut) => ({ ...cut })) : [];
    this.#boots = from ? from.#boots : 0;
    const first = from ? null : firstContent(shape.sizeBytes, this.random);
    this.senderWorld = from?.senderWorld ?? newWorld(first);
    this.receiverWorld = from?.receiverWorld ?? newWorld(null);
  }

  /** What goes on after `side` has crashed with `loss`; 'live': the other end did not notice but
   * for the session, which has ended; else its process has died in the same moment. */
  fork(side: Side, loss: LossClass, seed: number, other: 'live' | 'killed'): Pair {
    this.link?.cut();
    const next = new Pair(this.shape, seed, this.knobs, this);
    const random = seededRandom(seed + 2);
    const [crashed, still] =
      side === 'sender'
        ? [this.senderWorld, this.receiverWorld]
        : [this.receiverWorld, this.senderWorld];
    const after = crashed.afterCrash(loss, random);
    const beside = other === 'live' ? still : still.afterCrash('none', random);
    next.suspicious = this.suspicious;
    next.drifted = this.drifted;
    next.promoted = this.promoted;
    next.senderWorld = side === 'sender' ? after : beside;
    next.receiverWorld = side === 'sender' ? beside : after;
    if (other === 'live' && side === 'sender') next.replica = this.replica;
    if (other === 'live' && side === 'receiver') next.primary = this.primary;
    if (side === 'sender' && loss !== 'none') next.#boots += 1;
    return next;
  }

  get primaryNode(): PrimaryNode {
    return present(this.primary, 'the primary has been started');
  }

  get replicaNode(): ReplicaNode {
    return present(this.replica, 'the replica has been started');
  }

  get target(): Link {
    return present(this.link, 'the ends are connected');
  }

  async startPrimary(): Promise<void> {
    this.primary = await PrimaryNode.open(this.senderWorld, this, `boot-${this.#boots}`);
  }

  async startReplica(): Promise<void> {
    this.replica = await ReplicaNode.open(this.receiverWorld, this, 'boot');
  }

  /** A new session, as a daemon makes it: the one before is cut. */
  connect(): Link {
    this.link?.cut();
    const link = new Link(new ReplicaSession(this.replicaNode.replica), {
      before: async (call) => this.during?.(call),
      begun: ({ kind, to }) => {
        if (kind === 'round') this.#noteCut(to);
      },
      answered: ({ to }, { outcome }) => {
        if (outcome !== 'committed') return;
        this.cutOf(to).answered = true;
        this.onCommitted?.();
      },
    });
    this.senderWorld.onStop(() => link.cut());
    this.receiverWorld.onStop(() => link.cut());
    this.link = link;
    return link;
  }

  contact(): Promise<Contact> {
    return contact(this.primaryNode.parts, this.#target());
  }

  /** First thing with every session: contact; fills a target that has no point. */
  async meet(): Promise<Contact> {
    const found = await this.contact();
    if (found === 'fill') {
      const { parts } = this.primaryNode;
      this.#fill = await fillByPasses(parts, this.#target(), newCounts('pass'), never);
    }
    return found;
  }

  settle(counts = newCounts('settle')): Promise<number> {
    return settle(this.primaryNode.parts, counts, never);
  }

  round(counts: RoundCounts = newCounts('round')): Promise<RoundResult> {
    return this.roundTo(this.#target(), counts);
  }

  roundTo(target: Target, counts: RoundCounts): Promise<RoundResult> {
    const { parts } = this.primaryNode;
    const isFirst = recordOf(parts.resourceFile, parts.target).point === null;
    return runRound(parts, target, counts, never, isFirst ? this.#fill : null);
  }

  /** A round up to the replica's disk. */
  async wholeRound(counts?: RoundCounts): Promise<RoundResult> {
    const result = await this.round(counts);
    await this.target.applied(result.point);
    return result;
  }

  cutOf(point: PointRef): Cut {
    const found = this.cuts.find(({ to }) => hex(to.id) === hex(point.id));
    return present(found, `point ${point.number} was cut here`);
  }

  #target(): Target {
    const target = this.knobs.link?.(this.target, this.primaryNode) ?? this.target;
    return this.knobs.resumes ? this.resuming(target) : target;
  }

  /** As the daemon does it: over as many sessions as the link takes (D3). */
  resuming(first: Target): ResumingTarget {
    const { clock, random } = this;
    const { log } = this.primaryNode.parts;
    const again = async (): Promise<Target> => {
      await turn();
      this.connect();
      await contact(this.primaryNode.parts, this.target, true);
      return this.target;
    };
    const times = { keepMs: 600_000, stallMs: 600_000 };
    return new ResumingTarget(first, { again, ...times, clock, random, log });
  }

  #noteCut(to: PointRef): void {
    // A round that goes on in a new session begins again; its cut was the first time.
    if (this.cuts.some((cut) => hex(cut.to.id) === hex(to.id))) return;
    const image = this.primaryNode.imageAtCut();
    this.cuts.push({ to, image, answered: false });
  }
}
