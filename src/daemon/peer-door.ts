// Where peers knock: listens on the node's addresses, proves who is there by the resource's
// secret, and hands the session of a primary to the secondary it asks for. Secrets are read at
// start and at a reload, and never leave this thread.
import { describeError, HastError } from '../base/errors.js';
import type { ResourceSettings } from '../config/settings.js';
import { isLoopback } from '../net/address.js';
import type { DialSecurity } from '../net/connect.js';
import { type Incoming, listenForPeers, type PeerListener } from '../net/listen.js';
import { readSecret } from '../net/psk.js';
import type { ByteStream } from '../net/stream.js';
import type { LocalResource } from '../peer/admit.js';
import { receiveGreeting } from '../peer/greet.js';
import type { PeerFacts } from '../peer/messages.js';
import type { ResourceNode } from './resource-node.js';
import { factsOf, type Machinery } from './resource-parts.js';

export class PeerDoor {
  readonly #machinery: Machinery;
  readonly #nodes: ReadonlyMap<string, ResourceNode>;
  #secrets: ReadonlyMap<string, Uint8Array> = new Map();
  readonly #listeners: PeerListener[] = [];

  constructor(machinery: Machinery, nodes: ReadonlyMap<string, ResourceNode>) {
    this.#machinery = machinery;
    this.#nodes = nodes;
  }

  /** Reads the secrets and listens. Errors of readSecret and listenForPeers. */
  async open(addresses: readonly string[]): Promise<void> {
    await this.readSecrets([...this.#nodes.values()].map(({ settings }) => settings));
    const { log } = this.#machinery;
    for (const address of addresses) {
      try {
        const listener = await listenForPeers({ address }, this.#listening());
        this.#listeners.push(listener);
        log.info('listening for peers', { address: listener.address });
      } catch (error) {
        // One of HAST's two default addresses is of a family that this kernel may not have.
        if (addresses.length === 1 || !isFamilyMissing(error)) throw error;
        log.warn('not listening on an address', { address, why: describeError(error) });
      }
    }
  }

  /** From now on these count, for sessions to come. Errors of readSecret: then as before. */
  async readSecrets(resources: readonly ResourceSettings[]): Promise<void> {
    const secrets = new Map<string, Uint8Array>();
    for (const { name, secretPath } of resources) {
      if (secretPath !== null) secrets.set(name, await readSecret(secretPath));
    }
    this.#secrets = secrets;
  }

  #listening() {
    const { log } = this.#machinery;
    return {
      secretOf: (resource: string) => this.#secrets.get(resource) ?? null,
      connected: ({ stream, identity }: Incoming) => this.#greet(stream, identity),
      refused: (error: HastError) => {
        log.warn('a peer was refused', { why: error.message });
        const { resource } = error.fault as { resource?: unknown };
        if (typeof resource === 'string') this.#turnedAway(resource, error);
      },
    };
  }

  /** Also the status of a secondary says why its primary does not come in. */
  #turnedAway(resource: string, error: unknown): void {
    const { role } = this.#nodes.get(resource) ?? {};
    if (role?.kind === 'secondary' && error instanceof HastError) role.resource.turnedAway(error);
  }

  securityOf(settings: ResourceSettings): DialSecurity {
    const secret = this.#secrets.get(settings.name);
    if (secret !== undefined) return { kind: 'psk', resource: settings.name, secret };
    return { kind: 'plain' };
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  async #greet(stream: ByteStream, identity: string | null): Promise<void> {
    const { node } = this.#machinery;
    let caller: PeerFacts | null = null;
    try {
      const find = (theirs: PeerFacts) => {
        caller = theirs;
        return this.#local(theirs, identity, stream.remote);
      };
      const session = await receiveGreeting(stream, { identity }, { node, find }, this.#machinery);
      const { role } = this.#nodes.get(session.facts.theirs.resource) ?? {};
      if (role?.kind === 'secondary' && session.facts.theirs.role === 'primary') {
        void role.resource.serve(session);
        return;
      }
      // Somebody asked who we are: a replica about to be promoted, a primary that returns (H38).
      session.start(() => undefined);
    } catch (error) {
      this.#refused(stream.remote, caller, error);
    }
  }

  /** Who asks under another role than its own, to learn ours, is no news: see ask-peers.ts. */
  #refused(remote: string, caller: PeerFacts | null, error: unknown): void {
    const { log } = this.#machinery;
    const fields = { remote, why: describeError(error) };
    if (caller !== null && caller.role !== 'primary') {
      log.debug('a question could not be answered', fields);
      return;
    }
    log.warn('a peer did not come in', fields);
    if (caller !== null) this.#turnedAway(caller.resource, error);
  }

  /** A resource as it is judged: without state it is not there yet. */
  async #local(
    theirs: PeerFacts,
    identity: string | null,
    remote: string,
  ): Promise<LocalResource | null> {
    const found = this.#nodes.get(theirs.resource);
    if (found === undefined || found.file === null) return null;
    const { settings, file, role } = found;
    const near = settings.insecure || isLoopback(hostOf(remote));
    const insecure = settings.secretPath === null && near;
    // Only for one who has proved to be the peer: a stranger must not end its session.
    const proved = identity === null ? insecure : identity === theirs.resource;
    if (proved && role.kind === 'secondary' && theirs.role === 'primary') {
      await role.resource.supersede();
    }
    const facts = factsOf(this.#machinery, settings, file, role.kind);
    return { facts: aboutCaller(facts, found, theirs), insecure };
  }
}

/** Host of `host:port` or `[host]:port`; IPv4 in IPv6 as IPv4. */
function hostOf(remote: string): string {
  const host = remote.slice(0, remote.lastIndexOf(':'));
  return host.replace(/^\[|\]$/g, '').replace(/^::ffff:/, '');
}

function isFamilyMissing(error: unknown): boolean {
  const { errno } = (error instanceof HastError ? error.fault : {}) as { errno?: unknown };
  return errno === 'EAFNOSUPPORT' || errno === 'EADDRNOTAVAIL';
}

/** What is known beyond the state file: a replica stands at its last committed point, applied or
 * not (DESIGN.md §5); a former primary that a replica asks answers about that very one. */
function aboutCaller(facts: PeerFacts, { file, role }: ResourceNode, theirs: PeerFacts): PeerFacts {
  if (role.kind === 'secondary') return { ...facts, point: role.resource.parts.replica.point };
  const former = role.kind === 'init' && file?.state.epochs.at(-1)?.node === facts.node;
  const record = former ? file.state.targets[theirs.node] : undefined;
  if (record === undefined) return facts;
  const { point, proposed, drained, away } = record;
  return { ...facts, point, proposed: proposed?.point.id ?? null, suspect: !drained || away };
}
