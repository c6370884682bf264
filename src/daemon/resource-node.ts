// A resource of this node and the role it has now, as the round thread keeps it.
import type { ResourceSettings } from '../config/settings.js';
import type { ResourceFile } from '../tracking/resource-file.js';
import type { PrimaryResource } from './primary-resource.js';
import type { SecondaryResource } from './secondary-resource.js';

export interface ResourceNode {
  /** Replaced by a reload of the configuration. */
  settings: ResourceSettings;
  /** Null while there is no state (before `create`). */
  file: ResourceFile | null;
  role:
    | { readonly kind: 'init' }
    | { readonly kind: 'primary'; readonly resource: PrimaryResource }
    | { readonly kind: 'secondary'; readonly resource: SecondaryResource };
  /** No peer was reached before the primary role was taken, nor since (H38). */
  alone: boolean;
}

export const newNode = (settings: ResourceSettings): ResourceNode => ({
  settings,
  file: null,
  role: { kind: 'init' },
  alone: false,
});
