// A primary with two targets, each in a world of its own: who gets what when rounds overlap (D6,
// H16). Only the sender crashes here; the walk over both ends is pair.ts's.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { hex, seededRandom } from '../../src/base/random.js';
import type { PointRef } from '../../src/lineage/lineage.js';
import { ReplicaSession } from '../../src/receive/session.js';
import { contact, recordOf } from '../../src/round/contact.js';
import { fillByPasses } from '../../src/round/fill.js';
import { newCounts, type RoundCounts } from '../../src/round/parts.js';
import { type RoundResult, runRound } from '../../src/round/round.js';
import { settle } from '../../src/round/settle.js';
import { FakeClock } from '../world/fake-clock.js';
import type { CrashWorld, LossClass } from '../world/memory-files.js';
import { marksCover, same } from './checks.js';
import { Guest } from './guest.js';
import { Link } from './link.js';
import { PrimaryNode, ReplicaNode, type Shape } from './nodes.js';
import { firstContent, newWorld } from './pair.js';

export const TARGETS = ['b', 'c'] as const;
const never = new AbortController().signal;

interface End {
  readonly node: ReplicaNode;
  link: Link;
}

export class Trio {
  readonly shape: Shape;
  readonly clock = new FakeClock({ autoAdvance: true });
  readonly random;
  readonly knobs = {};
  readonly guest: Guest;
  /** Image at the cut of every round begun, by point id. */
  readonly cuts = new Map<string, Uint8Array>();
  senderWorld: CrashWorld;
  #node: PrimaryNode | null = null;
  readonly #ends: End[] = [];
  /** Called before a call of target `slot` is passed on. */
  during: ((slot: number, call: string) => Promise<void>) | null = null;
  #boots = 0;
  readonly #fills = new Map<number, Uint8Array>();

  constructor(shape: Omit<Shape, 'targets'>, seed: number, targets: readonly string[] = TARGETS) {
    this.shape = { ...shape, targets };
    this.random = seededRandom(seed);
    this.guest = new Guest(seededRandom(seed + 1));
    this.senderWorld = newWorld(firstContent(shape.sizeBytes, this.random));
  }

  get node(): PrimaryNode {
    assert.ok(this.#node, 'the primary has been started');
    return this.#node;
  }

  replica(slot: number): ReplicaNode {
    return this.#end(slot).node;
  }

  link(slot: number): Link {
    return this.#end(slot).link;
  }

  async startReplicas(): Promise<void> {
    for (const slot of TARGETS.keys()) {
      const node = await ReplicaNode.open(newWorld(null), this, 'boot');
      this.#ends.push({ node, link: this.#linkTo(node, slot) });
    }
  }

  /** `targets`: those of this run, by slot. */
  async startPrimary(targets: readonly string[] = TARGETS): Promise<void> {
    const setting = { ...this, shape: { ...this.shape, targets } };
    this.#node = await PrimaryNode.open(this.senderWorld, setting, `boot-${this.#boots}`);
  }

  /** The sender crashes; the replicas go on. */
  async crash(loss: LossClass, seed: number): Promise<void> {
    for (const { link } of this.#ends) link.cut();
    this.during = null;
    this.senderWorld = this.senderWorld.afterCrash(loss, seededRandom(seed));
    if (loss !== 'none') this.#boots += 1;
    await turn();
  }

  /** A new session with the target in `slot`, up to its point or filled. */
  async meet(slot: number, partsSlot = slot): Promise<void> {
    const end = this.#end(slot);
    end.link.cut();
    await turn();
    end.link = this.#linkTo(end.node, slot);
    const parts = this.node.round(partsSlot);
    const found = await contact(parts, end.link);
    if (found === 'fill') {
      this.#fills.set(slot, await fillByPasses(parts, end.link, newCounts('pass'), never));
    }
  }

  round(slot: number, counts: RoundCounts = newCounts('round')): Promise<RoundResult> {
    const parts = this.node.round(slot);
    const isFirst = recordOf(parts.resourceFile, parts.target).point === null;
    const fill = isFirst ? (this.#fills.get(slot) ?? null) : null;
    return runRound(parts, this.link(slot), counts, never, fill);
  }

  async wholeRound(slot: number): Promise<PointRef> {
    const { point } = await this.round(slot);
    await this.link(slot).applied(point);
    return point;
  }

  settle(slot: number): Promise<number> {
    return settle(this.node.round(slot), newCounts('settle'), never);
  }

  /** Each replica is exactly its own point (D2), and what differs from it is marked for it (W1). */
  check(slot: number, what: string): void {
    const node = this.replica(slot);
    const { point } = node.replica.record;
    if (point === null) return;
    const image = this.cuts.get(hex(point.id));
    assert.ok(image, `${what}: target ${TARGETS[slot]} stands at a point that was cut`);
    same(node.bytes(), image, `${what}: target ${TARGETS[slot]} at point ${point.number}`);
    marksCover(this.node, image, `${what}: for ${TARGETS[slot]}`, this.node.bytes(), slot);
  }

  #linkTo(node: ReplicaNode, slot: number): Link {
    return new Link(new ReplicaSession(node.replica), {
      before: async (call) => this.during?.(slot, call),
      begun: ({ kind, to }) => {
        const id = hex(to.id);
        const image = this.node.imageAtCut();
        if (kind === 'round' && !this.cuts.has(id)) this.cuts.set(id, image);
      },
    });
  }

  #end(slot: number): End {
    const end = this.#ends[slot];
    assert.ok(end, 'the replica has been started');
    return end;
  }
}
