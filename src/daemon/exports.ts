// What this node exports over NBD: the listeners and, by export name, who takes a connection.
// Negotiation happens here, on the control thread; then the connection belongs to a data thread.
import { errorClass } from '../base/errors.js';
import type { Log } from '../base/log.js';
import { closeFd } from '../disk/syscalls.js';
import type { NbdAddress } from '../nbd/addresses.js';
import { type HandedConnection, listenNbd, type NbdListener } from '../nbd/listener.js';
import type { ExportInfo } from '../nbd/protocol.js';

type Take = (connection: HandedConnection) => Promise<void>;

export class Exports {
  readonly #log: Log;
  readonly #offers = new Map<string, { readonly offer: ExportInfo; readonly take: Take }>();
  readonly #listeners: NbdListener[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  async listen(addresses: readonly NbdAddress[]): Promise<void> {
    for (const address of addresses) {
      const listener = await listenNbd(
        { address },
        {
          exports: () => [...this.#offers.values()].map(({ offer }) => offer),
          handOver: (connection) => this.#handOver(connection),
          log: this.#log,
        },
      );
      this.#listeners.push(listener);
    }
  }

  offer(offer: ExportInfo, take: Take): void {
    this.#offers.set(offer.name, { offer, take });
  }

  has(name: string): boolean {
    return this.#offers.has(name);
  }

  /** No new connections; those handed over are the data threads'. */
  withdraw(name: string): void {
    this.#offers.delete(name);
  }

  /** NBD URI of an export at the first address (NBD URI specification), or null. */
  uriOf(name: string): string | null {
    const address = this.#listeners[0]?.address;
    if (address === undefined) return null;
    const path = encodeURIComponent(name);
    if (address.kind === 'unix') {
      const socket = encodeURIComponent(address.path).replaceAll('%2F', '/');
      return `nbd+unix:///${path}?socket=${socket}`;
    }
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    return `nbd://${host}:${address.port}/${path}`;
  }

  async close(): Promise<void> {
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  #handOver(connection: HandedConnection): void {
    const found = this.#offers.get(connection.exportName);
    if (found === undefined) {
      throw new ExportError({ code: 'EXPORT_GONE', name: connection.exportName });
    }
    found.take(connection).catch((error: unknown) => {
      this.#log.warn('an NBD client could not be served', { why: String(error) });
      closeFd(connection.fd);
      connection.done();
    });
  }
}

export type ExportFault =
  | { code: 'EXPORT_GONE'; name: string }
  | { code: 'EXPORT_TAKEN'; name: string; uri: string }
  | { code: 'EXPORT_NOWHERE'; name: string };

export const ExportError = errorClass<ExportFault>('ExportError', {
  EXPORT_GONE: (f) => `export ${f.name} has just been withdrawn`,
  EXPORT_TAKEN: (f) => `${f.name} is exported already: ${f.uri}`,
  EXPORT_NOWHERE: (f) => `${f.name} cannot be exported: hastd listens for no NBD clients`,
});
