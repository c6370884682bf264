// Where peers knock: listens on the node's addresses, proves who is there by the resource's
// secret, and hands the session of a primary to the secondary it asks for. Secrets are read at
// start and never leave this thread.
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
  readonly #secrets = new Map<string, Uint8Array>();
  readonly #listeners: PeerListener[] = [];

  constructor(machinery: Machinery, nodes: ReadonlyMap<string, ResourceNode>) {
    this.#machinery = machinery;
    this.#nodes = nodes;
  }

  /** Reads the secrets and listens. Errors of readSecret and listenForPeers. */
  async open(addresses: readonly string[]): Promise<void> {
    for (const { settings } of this.#nodes.values()) {
      if (settings.secretPath === null) continue;
      this.#secrets.set(settings.name, await readSecret(settings.secretPath));
    }
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
    const { node, log } = this.#machinery;
    let wanted = '';
    try {
      const find = (theirs: PeerFacts) => {
        wanted = theirs.resource;
        return this.#local(theirs, identity, stream.remote);
      };
      const session = await receiveGreeting(stream, { identity }, { node, find }, this.#machinery);
      const { role } = this.#nodes.get(session.facts.theirs.resource) ?? {};
      if (role?.kind === 'secondary' && session.facts.theirs.role === 'primary') {
        void role.resource.serve(session);
        return;
      }
      // Somebody asked who we are: a replica about to be promoted.
      session.start(() => undefined);
    } catch (error) {
      log.warn('a peer did not come in', { remote: stream.remote, why: describeError(error) });
      this.#turnedAway(wanted, error);
    }
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
    return { facts: factsOf(this.#machinery, settings, file, role.kind), insecure };
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
