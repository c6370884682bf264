// Exit statuses of hastctl and hastd in one table: sysexits(3) as FreeBSD HAST uses them, and small
// numbers for what went wrong with one resource (HAST: 1 no such resource, 2 invalid). Scripts rely
// on them: they change only with a CHANGELOG entry. The table stands in hastctl(8).
// It lies in `control`: the daemon sends the number with every error, hastctl exits by it.

export const EXIT = {
  ok: 0,
  noResource: 1,
  invalid: 2,
  lossNotAccepted: 5,
  roundFailed: 6,
  differs: 7,
  stateExists: 8,
  usage: 64,
  data: 65,
  noInput: 66,
  lostDaemon: 69,
  software: 70,
  unreachable: 71,
  configUnreadable: 72,
  cannotCreate: 73,
  io: 74,
  tryLater: 75,
  config: 78,
} as const;

/** `hastctl status --check`: the statuses of monitoring plug-ins (Nagios, Icinga and their kin),
 * which know no others. */
export const CHECK_STATUS = { OK: 0, WARNING: 1, CRITICAL: 2, UNKNOWN: 3 } as const;
export type CheckWord = keyof typeof CHECK_STATUS;

/** By exact code; it goes before the families. */
export const STATUS_OF_CODE: Readonly<Record<string, number>> = {
  CONTROL_NO_RESOURCE: EXIT.noResource,
  CONTROL_NO_TARGET: EXIT.noResource,
  CONTROL_WRONG_ROLE: EXIT.invalid,
  NOTHING_TO_CANCEL: EXIT.invalid,
  RESIZE_GUESTS: EXIT.invalid,
  RESIZE_SMALLER: EXIT.data,
  RESIZE_DISK: EXIT.data,
  CONTROL_BAD_REQUEST: EXIT.data,
  CONTROL_UNREACHABLE: EXIT.unreachable,
  CONTROL_LOST: EXIT.lostDaemon,
  CONTROL_FAILED: EXIT.software,
  CONTROL_IN_USE: EXIT.tryLater,
  CONTROL_SOCKET_FAILED: EXIT.unreachable,
  LOSS_NOT_ACCEPTED: EXIT.lossNotAccepted,
  STATE_EXISTS: EXIT.stateExists,
  CLI_USAGE: EXIT.usage,
  CLI_BAD_VALUE: EXIT.data,
  CLI_UNKNOWN_RESOURCE: EXIT.data,
  CONFIG_UNREADABLE: EXIT.configUnreadable,
  CONFIG_INVALID: EXIT.config,
  SECRET_EXISTS: EXIT.cannotCreate,
  SECRET_UNWRITABLE: EXIT.cannotCreate,
  ROUND_NOT_COMMITTED: EXIT.roundFailed,
  VERIFY_DIFFERS: EXIT.differs,
  NO_WHOLE_POINT: EXIT.invalid,
  POINT_UNKNOWN: EXIT.noResource,
  POINT_CLOSED: EXIT.invalid,
  POINT_READERS: EXIT.tryLater,
  POINTS_OPEN: EXIT.tryLater,
  POINT_CHUNK_LOST: EXIT.io,
  POINT_CHUNK_BAD: EXIT.io,
  POINT_DAMAGED: EXIT.differs,
  EXPORT_TAKEN: EXIT.tryLater,
  EXPORT_GONE: EXIT.invalid,
  EXPORT_NOWHERE: EXIT.invalid,
  ARCHIVE_ONE_WRITER: EXIT.invalid,
  ARCHIVE_UNSAFE: EXIT.differs,
  ARCHIVE_DAMAGED: EXIT.differs,
  ARCHIVE_MISSING: EXIT.noResource,
  ARCHIVE_EMPTY: EXIT.invalid,
  ARCHIVE_SEALED: EXIT.noInput,
  ARCHIVE_NOT_SEALED: EXIT.noInput,
  ARCHIVE_WRONG_KEY: EXIT.noInput,
  POINT_NOT_PINNED: EXIT.noResource,
  POINT_NAME_TAKEN: EXIT.invalid,
  POINT_PINNED: EXIT.invalid,
  POINT_GOING: EXIT.invalid,
  RESTORE_EXISTS: EXIT.cannotCreate,
  RESTORE_OTHER: EXIT.cannotCreate,
  RESTORE_NO_DEVICE: EXIT.cannotCreate,
  RESTORE_TOO_SMALL: EXIT.data,
  RESTORE_STOPPED: EXIT.tryLater,
  VERIFY_STOPPED: EXIT.tryLater,
  MEMORY_OTHER: EXIT.cannotCreate,
  FORMAT_BAD: EXIT.io,
  POINT_NEWER_LOST: EXIT.io,
  OVERLAY_OTHER: EXIT.data,
  OVERLAY_IN_USE: EXIT.tryLater,
  OVERLAY_UNUSABLE: EXIT.cannotCreate,
  STORE_URL: EXIT.data,
  STORE_MISSING: EXIT.differs,
  STORE_SHORT: EXIT.differs,
  STORE_DENIED: EXIT.invalid,
  STORE_UNREACHABLE: EXIT.tryLater,
  STATUS_TIMEOUT: EXIT.lostDaemon,
  STOP_TIMEOUT: EXIT.tryLater,
  ROLE_WAS_PRIMARY: EXIT.invalid,
  PEER_IS_NEWER: EXIT.invalid,
  PEER_NOT_ASKED: EXIT.invalid,
  NOT_A_REPLICA: EXIT.invalid,
  REPLICA_INITIALISING: EXIT.invalid,
  REPLICA_SUSPECT: EXIT.invalid,
  DAEMON_RUNNING: EXIT.tryLater,
  STATEDIR_UNUSABLE: EXIT.io,
  STATEDIR_VOLATILE: EXIT.config,
  STATE_MISSING: EXIT.io,
  STATE_UNREADABLE: EXIT.io,
  FORMAT_VERSION: EXIT.io,
  LISTEN_FAILED: EXIT.unreachable,
  NBD_ADDRESS_IN_USE: EXIT.unreachable,
  NBD_LISTEN_FAILED: EXIT.unreachable,
  NBD_PATH_NOT_A_SOCKET: EXIT.unreachable,
  NBD_PATH_TOO_LONG: EXIT.unreachable,
  NBD_NOT_LOOPBACK: EXIT.unreachable,
  EXPORT_GROUP_UNKNOWN: EXIT.config,
};

/** By the beginning of a code: faults of the layers below, as they reach an operator. */
export const STATUS_OF_FAMILY: readonly (readonly [string, number])[] = [
  ['CONFIG_', EXIT.config],
  ['TARGET_', EXIT.roundFailed],
  ['PEER_', EXIT.roundFailed],
  ['ROUND_', EXIT.roundFailed],
  ['DISK_', EXIT.noInput],
  ['DEVICE_', EXIT.noInput],
  ['SECRET_', EXIT.noInput],
  ['FILE_', EXIT.io],
  ['STORE_', EXIT.io],
  ['CREATE_', EXIT.data],
];

/** The status for an error code; unlisted codes, and errors without one, are 70. */
export function exitStatusOf(code: string | null): number {
  if (code === null) return EXIT.software;
  const exact = Object.hasOwn(STATUS_OF_CODE, code) ? STATUS_OF_CODE[code] : undefined;
  if (exact !== undefined) return exact;
  const family = STATUS_OF_FAMILY.find(([prefix]) => code.startsWith(prefix));
  return family?.[1] ?? EXIT.software;
}
