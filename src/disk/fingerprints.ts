// Fingerprints handed in (STYLE 13): what tells that nobody else wrote a disk (H11, H28). The real
// ones are in fingerprint.ts; the crash world has its own.

/** Plain data kept in resource.json; only its maker understands the fields. But for `growsTo`,
 * which the owner of the disk adds: it is about to make it that many bytes long. */
export type DiskPrint = Record<string, string | number | null>;

export interface Fingerprints {
  /** Random id of this boot of the machine. */
  readonly bootId: string;
  /** Of the disk as it is now; take it after a sync. */
  now(): Promise<DiskPrint>;
  /** Null when `now` fits `before`, else what differs. 'untouched': nobody wrote it since, not
   * even this daemon (clean stop). 'same-disk': it is the same disk, maybe written by us. With
   * `growsTo` in `before` a disk that has only become longer is no difference, where that is sure.
   */
  differs(before: DiskPrint, now: DiskPrint, look: 'untouched' | 'same-disk'): string | null;
}
