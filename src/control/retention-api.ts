// What the daemon does about points that stay and go: prune, pin and repack, a part of api.ts; and
// the request that names a target. Field names are relied on by scripts: they change only with a
// CHANGELOG entry. Sizes are bytes, times ISO 8601 UTC.

/** `target` null: every target of the resource. */
export interface TargetRequest {
  readonly target: string | null;
}

/** What a prune has removed, or would: of a primary from its archives, of a secondary from what it
 * retains. */
export interface PruneAnswer {
  readonly replica: PrunedReplica | null;
  readonly archives: readonly {
    readonly target: string;
    readonly url: string;
    readonly dryRun: boolean;
    readonly removed: readonly PrunedPoint[];
    /** Not kept by the rule, and pinned. */
    readonly pinned: readonly PrunedPoint[];
    /** All that stay, newest first, and which parts of `retain` keep each. */
    readonly kept: readonly (PrunedPoint & { readonly keptBy: readonly string[] })[];
    readonly packs: number;
    readonly packBytes: number;
    /** Packs that nobody needs, until their storage class's minimum of days is over. */
    readonly heldPacks: number;
    readonly heldBytes: number;
  }[];
}

export interface PrunedReplica {
  readonly dryRun: boolean;
  readonly removed: readonly PrunedPoint[];
  /** All that stay, newest first; those that nothing keeps could not be removed. */
  readonly kept: readonly (PrunedPoint & { readonly keptBy: readonly string[] })[];
}

/** Of a secondary. `label` null: the point loses its name. */
export interface PinRequest {
  readonly point: string;
  readonly label: string | null;
}

export interface PrunedPoint {
  readonly number: number;
  readonly time: string;
}

export interface PruneRequest extends TargetRequest {
  /** Says what would go, and removes nothing. */
  readonly dryRun: boolean;
}

/** What a repack of archives does, or would. */
export interface RepackAnswer {
  readonly archives: readonly {
    readonly target: string;
    readonly url: string;
    readonly dryRun: boolean;
    /** Packs that the next point leaves, for kept points need little of them. */
    readonly packs: number;
    readonly packBytes: number;
    /** Of these bytes, what kept points need; about. */
    readonly neededBytes: number;
    /** Of the disk, before compression, what the round sends for it, and its PUT requests; about.
     * */
    readonly sendBytes: number;
    readonly puts: number;
    /** Points that need any of the packs, newest first: these go with the last of them. */
    readonly holders: readonly PrunedPoint[];
    /** Left out: packs that are paid for until their storage class's minimum of days is over. */
    readonly heldPacks: number;
    readonly heldBytes: number;
  }[];
}

export interface RepackRequest extends TargetRequest {
  /** Packs are left of which kept points need less, 1 to 100. */
  readonly belowPercent: number;
  /** Says what would be done, and does nothing. */
  readonly dryRun: boolean;
}
