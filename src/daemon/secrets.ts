// The secrets of resources, as read at start and at a reload; they never leave this thread.
// Guarantee: who has `secret` in the configuration is never dialled without it, whatever was read.
import type { ResourceSettings } from '../config/settings.js';
import type { DialSecurity } from '../net/connect.js';
import { NetError } from '../net/faults.js';
import { readSecret } from '../net/psk.js';

type Settings = Pick<ResourceSettings, 'name' | 'secretPath'>;

export class Secrets {
  #byName: ReadonlyMap<string, Uint8Array> = new Map();

  /** From now on these count for the resources named, and the others as before. Errors of
   * readSecret: then nothing has changed. */
  async read(resources: readonly Settings[]): Promise<void> {
    const secrets = new Map(this.#byName);
    for (const { name, secretPath } of resources) {
      if (secretPath === null) secrets.delete(name);
      else secrets.set(name, await readSecret(secretPath));
    }
    this.#byName = secrets;
  }

  of(resource: string): Uint8Array | null {
    return this.#byName.get(resource) ?? null;
  }

  /** Error SECRET_UNREADABLE where a secret is demanded and none was read. */
  securityOf({ name, secretPath }: Settings): DialSecurity {
    if (secretPath === null) return { kind: 'plain' };
    const secret = this.of(name);
    if (secret !== null) return { kind: 'psk', resource: name, secret };
    throw new NetError({ code: 'SECRET_UNREADABLE', path: secretPath, errno: 'not read yet' });
  }
}
