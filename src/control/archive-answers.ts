// What is answered about archives: a prune, a repack (control/api.ts is the rest of the operator's
// interface). Field names are relied on by scripts: they change only with a CHANGELOG entry. Sizes
// are bytes, times ISO 8601 UTC.

/** What a prune of archives has removed, or would. */
export interface PruneAnswer {
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

export interface PrunedPoint {
  readonly number: number;
  readonly time: string;
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
