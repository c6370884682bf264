// What is said of each setting of hast.conf(5): where it may stand, what its value is, and the
// words for people. The settings themselves are in node-keywords.ts and resource-keywords.ts.

/** `node`: an `on` block at top level; `resource node`: an `on` block inside a resource; `target`,
 * `archive`: such a block inside a resource or inside a `resource node`. */
export type Scope = 'global' | 'node' | 'resource' | 'resource node' | 'target' | 'archive';

/** What may stand as the value. Limits are inclusive. */
export type ValueKind =
  | { readonly kind: 'path' }
  | { readonly kind: 'name' }
  | { readonly kind: 'group' }
  | { readonly kind: 'cron' }
  | { readonly kind: 'timezone' }
  | { readonly kind: 'compression' }
  /** A number, or pairs of a word and a number, which need no quotes. */
  | { readonly kind: 'retain' }
  | { readonly kind: 'url'; readonly use: 'archive' | 'endpoint' }
  | {
      readonly kind: 'address';
      readonly use: 'control' | 'export' | 'listen' | 'remote' | 'source';
    }
  | { readonly kind: 'word'; readonly words: readonly string[] }
  | { readonly kind: 'number'; readonly min: number; readonly max: number }
  | {
      readonly kind: 'size';
      readonly bytesMin: number;
      readonly bytesMax: number;
      /** The word off is a value, too: nothing. */
      readonly off?: true;
    }
  | {
      readonly kind: 'duration';
      readonly secondsMin: number;
      readonly secondsMax: number;
      /** True: a number without a unit is seconds. */
      readonly bare: boolean;
      /** The word none is a value, too. */
      readonly none?: true;
    }
  | { readonly kind: 'rate'; readonly bitsMin: number; readonly bitsMax: number }
  | { readonly kind: 'share'; readonly percentMin: number; readonly percentMax: number };

export interface Keyword {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly value: ValueKind;
  /** As it would be written; null: none, or it depends on other settings. */
  readonly default: string | null;
  /** Known to FreeBSD's HAST, hence a word that cannot be a bare name. */
  readonly hast: boolean;
  /** Every statement counts, outer scopes first, instead of the innermost and last. */
  readonly additive?: true;
  /** One line for people. */
  readonly doc: string;
  /** Values that are words of the language and yet not accepted: why, and what to write. */
  readonly refused?: Readonly<Record<string, string>>;
  /** Notes for a value; `*` for any. */
  readonly notes?: Readonly<Record<string, string>>;
}
