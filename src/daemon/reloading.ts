// Carries a changed configuration out, one reload at a time (reload.ts plans). Guarantee: what a
// resource takes over is planned while nobody changes its role, from what it has then. A resource
// that the file has anew is given its remembered role again, as at the start of hastd.
import { within } from '../base/clock.js';
import { Mutex } from '../base/sync.js';
import type { NodeSettings, ResourceSettings } from '../config/settings.js';
import { planReload, reloadNotes } from './reload.js';
import { newResource, type Resource } from './resource.js';
import type { Roles } from './roles.js';
import { type TakeUpParts, takenUpNotes, takeUpRole } from './take-up.js';

/** Remembered roles are waited for, at most for so long: a peer may be slow to answer. */
const TAKE_UP_MS_MAX = 5000;

export interface ReloadingParts extends Omit<TakeUpParts, 'roles'> {
  /** Of the node; they stay as they are. */
  readonly settings: NodeSettings;
  /** The configuration as the file has it now. Errors CONFIG_UNREADABLE, CONFIG_INVALID. */
  readonly reread: () => NodeSettings;
}

export class Reloading {
  readonly #parts: ReloadingParts;
  readonly #roles: Roles;
  readonly #resources: Map<string, Resource>;
  readonly #order = new Mutex();

  /** `resources`, by name: this class adds to it and takes from it. */
  constructor(parts: ReloadingParts, roles: Roles, resources: Map<string, Resource>) {
    this.#parts = parts;
    this.#roles = roles;
    this.#resources = resources;
  }

  /** Sentences for the operator. Errors of `reread` and readSecret: then nothing has changed. */
  reload(): Promise<readonly string[]> {
    return this.#order.run(async () => {
      const { rounds, log, settings, reread } = this.#parts;
      const after = reread();
      await rounds.call('readSecrets', after.resources);
      const node = { ...settings, resources: [] };
      const plans = [planReload(node, { ...after, resources: [] }, 'init')];
      for (const resource of this.#resources.values()) {
        plans.push(await resource.order.run(() => this.#reloadOne(resource, after.resources)));
      }
      const added = after.resources.filter(({ name }) => !this.#resources.has(name));
      plans.push(planReload(node, { ...settings, resources: added }, 'init'));
      const notes = reloadNotes(...plans);
      log.info('configuration read again', { notes });
      const resources = await this.#add(added);
      return [...notes, ...resources.flatMap(takenUpNotes)];
    });
  }

  /** Takes up remembered roles; what has to wait for a peer goes on in the background. */
  async takeUp(resources: readonly Resource[]): Promise<void> {
    const parts = { ...this.#parts, roles: this.#roles };
    const taking = resources.map((resource) => takeUpRole(resource, parts));
    await within(parts.clock, TAKE_UP_MS_MAX, Promise.all(taking));
  }

  async #reloadOne(resource: Resource, wanted: readonly ResourceSettings[]) {
    const { settings } = this.#parts;
    const { name } = resource.settings;
    const after = wanted.filter((each) => each.name === name);
    const plan = await this.#roles.reload(resource, settings, { ...settings, resources: after });
    if (plan.gone.has(name) && resource.role === 'init') {
      resource.asking.abort();
      this.#resources.delete(name);
    }
    return plan;
  }

  /** Resources that this node had not, or had no more. */
  async #add(added: readonly ResourceSettings[]): Promise<readonly Resource[]> {
    const { rounds, clock } = this.#parts;
    await rounds.call('applySettings', added);
    // The state may be another one than when the resource was here before.
    for (const { name } of added) await rounds.call('reload', name);
    const resources = added.map((settings) => newResource(settings, clock.wallMs()));
    for (const each of resources) this.#resources.set(each.settings.name, each);
    await this.takeUp(resources);
    return resources;
  }
}
