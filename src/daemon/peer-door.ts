// Where peers knock: listens on the node's addresses, proves who is there by the resource's
// secret, and hands the session of a primary to the secondary it asks for. A primary that has been
// replaced is told so aside: it ends no session of its successor (C3).
import { describeError, HastError } from '../base/errors.js';
import type { ResourceSettings } from '../config/settings.js';
import { sameId } from '../lineage/lineage.js';
import { isLoopback } from '../net/address.js';
import type { DialSecurity } from '../net/connect.js';
import type { Incoming, PeerListener } from '../net/listen.js';
import type { ByteStream } from '../net/stream.js';
import type { LocalResource } from '../peer/admit.js';
import { receiveGreeting } from '../peer/greet.js';
import { NO_ROUND, type PeerFacts } from '../peer/messages.js';
import type { Session } from '../peer/session.js';
import type { Machinery } from './machinery.js';
import type { ResourceNode } from './resource-node.js';
import { factsOf } from './resource-parts.js';
import type { SecondaryResource } from './secondary-resource.js';
import { Secrets } from './secrets.js';

export class PeerDoor {
  readonly #machinery: Machinery;
  readonly #nodes: ReadonlyMap<string, ResourceNode>;
  readonly #secrets = new Secrets();
  readonly #listeners: PeerListener[] = [];

  constructor(machinery: Machinery, nodes: ReadonlyMap<string, ResourceNode>) {
    this.#machinery = machinery;
    this.#nodes = nodes;
  }

  /** Reads the secrets and listens. Errors of readSecret and listenForPeers. */
  async open(addresses: readonly string[]): Promise<void> {
    await this.readSecrets([...this.#nodes.values()].map(({ settings }) => settings));
    const { log, network } = this.#machinery;
    for (const address of addresses) {
      try {
        const listener = await network.listen({ address }, this.#listening());
        this.#listeners.push(listener);
        log.info('listening for peers', { address: listener.address });
      } catch (error) {
        // One of HAST's two default addresses is of a family that this kernel may not have.
        if (addresses.length === 1 || !isFamilyMissing(error)) throw error;
        log.warn('not listening on an address', { address, why: describeError(error) });
      }
    }
  }

  /** For sessions to come of these resources. Errors of readSecret: then as before. */
  readSecrets(resources: readonly ResourceSettings[]): Promise<void> {
    return this.#secrets.read(resources);
  }

  #listening() {
    const { log } = this.#machinery;
    return {
      secretOf: (resource: string) => this.#secrets.of(resource),
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
    return this.#secrets.securityOf(settings);
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
      const { theirs } = session.facts;
      const found = this.#nodes.get(theirs.resource);
      if (found?.role.kind === 'secondary' && theirs.role === 'primary') {
        const { resource } = found.role;
        if (isReplaced(found, theirs)) this.#tellAside(session, resource);
        else void resource.serve(session);
        return;
      }
      // A primary was told that this is a secondary, and the role has been left since.
      if (theirs.role === 'primary') return void (await session.close());
      // Somebody asked who we are: a replica about to be promoted, a primary that returns (H38).
      session.start(() => undefined);
    } catch (error) {
      this.#refused(stream.remote, caller, error);
    }
  }

  /** A primary of an epoch that has ended sees from the WELCOME that it has diverged, and may ask
   * before what became of a round. No round of that epoch is committed any more, so the answer
   * needs no writer lock (D4): the session of the rightful primary may hold it. */
  #tellAside(session: Session, { parts }: SecondaryResource): void {
    const { node, resource } = session.facts.theirs;
    this.#machinery.log.warn('a primary that has been replaced came in', { resource, node });
    session.start(async ({ request, message }) => {
      if (request === 0) return;
      if (message.type === 'outcome') {
        const outcome = parts.replica.outcome(message.round);
        return session.answer(request, { type: 'outcome-is', outcome });
      }
      const text = `the epoch of node ${node} has ended`;
      const refused = { type: 'refused', round: NO_ROUND, reason: 'wrong-epoch', text } as const;
      await session.answer(request, refused);
    });
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
    const asPrimary = theirs.role === 'primary' && !isReplaced(found, theirs);
    if (proved && role.kind === 'secondary' && asPrimary) {
      await role.resource.supersede();
    }
    // The role may have been left while its session ended.
    const facts = factsOf(this.#machinery, settings, file, found.role.kind);
    return { facts: aboutCaller(facts, found, theirs), insecure };
  }
}

/** Its last epoch has ended, as this node knows: another one began after it (fencing). */
function isReplaced({ file }: ResourceNode, theirs: PeerFacts): boolean {
  const last = theirs.epochs.at(-1);
  const mine = file?.state.epochs ?? [];
  if (last === undefined || sameId(last.id, mine.at(-1)?.id)) return false;
  return mine.some(({ id }) => sameId(id, last.id));
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
