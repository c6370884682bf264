// Storage classes that are paid for a minimum of days, whether an object is there so long or not:
// removing it before saves nothing. Amazon S3 user guide, "Understanding and managing Amazon S3
// storage classes". Other classes, and other stores' own ones, count as none.
const MINIMUM_DAYS: Readonly<Record<string, number>> = {
  STANDARD_IA: 30,
  ONEZONE_IA: 30,
  GLACIER_IR: 90,
  GLACIER: 90,
  DEEP_ARCHIVE: 180,
};

/** Days for which an object of this class is paid for at least; null is the store's default. */
export const minimumDaysOf = (storageClass: string | null): number =>
  MINIMUM_DAYS[storageClass ?? ''] ?? 0;
