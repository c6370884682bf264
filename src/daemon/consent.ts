// What the peers of a resource say before this node becomes its primary: after a start that
// remembers the role, on an operator's order, and before a replica is promoted (H37, H38, H39).
// Asks and judges; the roles themselves are replication.ts's.
import { needsEpoch, promotionLoss } from '../care/promote.js';
import type { RoleRequest } from '../control/api.js';
import type { DialSecurity } from '../net/connect.js';
import { ReceiveError } from '../receive/parts.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import { askPeers } from './ask-peers.js';
import { DaemonError } from './daemon-faults.js';
import type { Machinery } from './machinery.js';
import { judgeReturn, type Occasion, rememberedRole } from './remembered.js';
import type { ResourceNode } from './resource-node.js';
import { factsOf } from './resource-parts.js';
import type { RememberedRole } from './thread-messages.js';

export interface ConsentParts {
  readonly machinery: Machinery;
  readonly securityOf: (settings: ResourceNode['settings']) => DialSecurity;
}

export class Consent {
  readonly #parts: ConsentParts;

  constructor(parts: ConsentParts) {
    this.#parts = parts;
  }

  /** What to do with a role that an operator gave before hastd ended. */
  async remembered(node: ResourceNode, file: ResourceFile): Promise<RememberedRole> {
    const { state } = file;
    const ordered = state.remembered;
    const role = rememberedRole(state, node.settings);
    if (role === null) return { take: 'none', ordered, alone: false, text: '' };
    if (role === 'secondary') return { take: 'secondary', ordered, alone: false, text: '' };
    // Given the role, but never begun to be: it was promoted and ended before its epoch stood.
    if (needsEpoch(state, this.#parts.machinery.node)) {
      const text = 'another node was primary since; "hastctl role primary" promotes this one';
      return { take: 'none', ordered, alone: false, text };
    }
    const verdict = await this.#judge(node, file, 'start');
    const { text } = verdict;
    if (verdict.kind === 'newer') return { take: 'none', ordered, alone: false, text };
    if (verdict.kind === 'wait') return { take: 'init', ordered, alone: true, text };
    node.alone = verdict.alone;
    return { take: 'primary', ordered, alone: verdict.alone, text };
  }

  /** An operator wants the primary role. Null: nothing is lost by it; else what, in words. Errors
   * PEER_IS_NEWER, PEER_NOT_ASKED, REPLICA_INITIALISING, REPLICA_SUSPECT. */
  async loss(node: ResourceNode, file: ResourceFile, request: RoleRequest): Promise<string | null> {
    const { state } = file;
    node.alone = false;
    if (state.resource === null) return null;
    if (!needsEpoch(state, this.#parts.machinery.node)) {
      await this.#mayReturn(node, file, request.alone ? 'order-alone' : 'order');
      return null;
    }
    const { name } = node.settings;
    if (node.role.kind === 'secondary') await node.role.resource.parts.replica.idle();
    const { point, suspect } = file.state.replica;
    if (point === null) throw new ReceiveError({ code: 'REPLICA_INITIALISING', resource: name });
    if (suspect !== null && !request.acceptDrift) {
      throw new ReceiveError({ code: 'REPLICA_SUSPECT', resource: name, text: suspect });
    }
    const answers = await this.#ask(node, file, 'promote');
    const nowMs = this.#parts.machinery.clock.wallMs();
    return promotionLoss(file.state, answers, nowMs);
  }

  async #mayReturn(node: ResourceNode, file: ResourceFile, occasion: Occasion): Promise<void> {
    const verdict = await this.#judge(node, file, occasion);
    const { name } = node.settings;
    const { text } = verdict;
    if (verdict.kind === 'newer') throw new DaemonError({ code: 'PEER_IS_NEWER', name, text });
    if (verdict.kind === 'wait') throw new DaemonError({ code: 'PEER_NOT_ASKED', name, text });
    node.alone = verdict.alone;
  }

  async #judge(node: ResourceNode, file: ResourceFile, occasion: Occasion) {
    const answers = await this.#ask(node, file, 'return');
    const { startAlone } = node.settings;
    return judgeReturn({ state: file.state, startAlone, occasion, answers });
  }

  #ask(node: ResourceNode, file: ResourceFile, purpose: 'return' | 'promote') {
    const { machinery, securityOf } = this.#parts;
    const { settings } = node;
    const { clock, random, network } = machinery;
    // A secondary's view of itself; askPeers puts in the role that each peer will answer to.
    const facts = factsOf(machinery, settings, file, 'secondary');
    const security = securityOf(settings);
    return askPeers(settings.targets, {
      purpose,
      facts,
      security,
      dial: network.dial,
      clock,
      random,
    });
  }
}
