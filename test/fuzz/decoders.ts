// Every decoder of src/: what reads bytes from a peer, a guest, an operator, or a disk, and the
// target that fuzzes it. decoders.test.ts fails when one is missing: when a file of src/ takes
// bytes or texts apart (MARKS) and has no row, when an exported function is named like a decoder
// and stands in none, and when a function of a row is not run by the corpus of its target.

export interface Decoder {
  /** Below src/. */
  readonly file: string;
  readonly functions: readonly string[];
  readonly target: string;
}

const row = (target: string, file: string, ...functions: string[]): Decoder => ({
  file,
  functions,
  target,
});

export const DECODERS: readonly Decoder[] = [
  row('peer-messages', 'peer/header.ts', 'decodeHeader'),
  row('peer-messages', 'peer/decode.ts', 'decodeMessage', 'readFacts', 'readHeld', 'readReuse'),
  row('peer-messages', 'peer/cursor.ts', 'u64', 'name', 'text', 'optionalPoint', 'epoch'),
  row('peer-messages', 'peer/reader.ts', 'next'),
  row('peer-greeting', 'peer/reader.ts', 'greeting'),
  row('peer-greeting', 'peer/greet.ts', 'receiveGreeting'),
  row('peer-greeting', 'peer/admit.ts', 'judgeCaller', 'judgePeers'),
  row('peer-answers', 'peer/greet.ts', 'greet'),
  row('peer-answers', 'target/remote.ts', 'digests', 'held', 'chunk', 'outcome'),
  row('peer-session', 'receive/serve.ts', 'serveTarget', 'take'),
  row('peer-session', 'receive/session.ts', 'begin', 'commit'),
  row('peer-session', 'peer/session.ts', 'start'),
  row('peer-door', 'net/listen.ts', 'knock'),
  row('frame-header', 'format/frame-header.ts', 'decodeFrameHeader'),
  row('frame', 'format/frame.ts', 'decodeFrame', 'frameHead', 'readEntries'),
  row('frame', 'format/frame-spans.ts', 'blockSpans'),
  row('pack', 'format/pack.ts', 'unpack', 'beginning', 'whole'),
  row('changeset', 'format/changeset-file.ts', 'decodeHeader', 'decodeTrailer', 'takePoint'),
  row('changeset', 'format/changeset-reader.ts', 'openChangeset', 'wholeFrames', 'offsets'),
  row('changeset', 'format/changeset-index.ts', 'decodeIndex'),
  row('changeset', 'format/layout.ts', 'expectMagic', 'takeU64', 'takeTime'),
  row('staged', 'format/changeset-reader.ts', 'readHeader', 'scanFrames', 'openFrame'),
  row('staged', 'receive/held-stages.ts', 'open', 'entries', 'take'),
  row('resource-state', 'format/resource-state.ts', 'decodeResourceState'),
  row('resource-state', 'tracking/resource-file.ts', 'load'),
  row('dirty', 'format/dirty-file.ts', 'openDirty', 'takeHeader', 'takeBits'),
  row('dirty', 'tracking/dirty-map.ts', 'loadDirty', 'orPage'),
  row('digest-table', 'format/digest-table.ts', 'decodeTableHeader', 'decodeTablePage'),
  row('digest-table', 'tracking/digest-table.ts', 'open', 'range'),
  row('intent', 'format/intent-file.ts', 'decodeIntentHeader'),
  row('intent', 'volume/intent.ts', 'load', 'markExtents'),
  row('round-log', 'daemon/round-log.ts', 'readRecords', 'parseRecord'),
  row('round-log', 'control/answers.ts', 'isRoundRecord'),
  row('entry-log', 'tracking/entry-log.ts', 'replay'),
  row('dump', 'care/dump.ts', 'dumpResource', 'readMap', 'readTable', 'readIntent'),
  row('replica-start', 'receive/recovery.ts', 'recoverCommitted', 'removeLeftovers'),
  row('replica-start', 'receive/stage.ts', 'committedRound'),
  row('primary-start', 'round/primary.ts', 'openPrimary'),
  row('config', 'config/load.ts', 'loadConfig'),
  row('config', 'config/lex.ts', 'lex', 'quoted'),
  row('config', 'config/parse.ts', 'parse'),
  row('config', 'config/resolve.ts', 'resolve'),
  row('config', 'config/targets.ts', 'resolveTargets'),
  row('config', 'config/value.ts', 'compressionOf'),
  row('cron', 'schedule/firing.ts', 'checkCron', 'nextFiring'),
  row('cron', 'schedule/gap.ts', 'longestGapSeconds'),
  row('address', 'config/address.ts', 'addressOf', 'formatAddress'),
  row('peer-address', 'net/address.ts', 'parseTcpAddress'),
  row('store-url', 'store/url.ts', 'storeUrl'),
  row('secret', 'net/psk.ts', 'parseSecret', 'readSecret', 'readSecretText'),
  row('values', 'config/value.ts', 'sizeBytes', 'rateBits', 'shareOf', 'durationSeconds'),
  row('values', 'disk/holders.ts', 'hasLockOn'),
  row('control-call', 'control/routes.ts', 'readCall', 'checked', 'splitPath'),
  row('control-http', 'control/server.ts', 'serve', 'readBody', 'perform'),
  row('control-answer', 'control/client.ts', 'readAnswer', 'remoteError', 'collect'),
  row('control-answer', 'control/answers.ts', 'faultOf'),
  row('control-events', 'control/event-stream.ts', 'decodeEvents', 'parsed', 'line', 'take'),
  row('control-answer', 'cli/attach.ts', 'attachLines'),
  row('nbd-negotiation', 'nbd/negotiation.ts', 'feed'),
  row('nbd-negotiation', 'nbd/options.ts', 'answerOption', 'parseGo'),
  row('nbd-negotiation', 'nbd/meta-context.ts', 'parseMetaQuery', 'listed', 'selected'),
  row('nbd-request', 'nbd/requests.ts', 'decodeRequest', 'refusalOf'),
  row('nbd-request', 'nbd/payload.ts', 'take'),
  row('nbd-session', 'nbd/listener.ts', '#accept', '#handOver'),
  row('nbd-session', 'nbd/transmission.ts', 'serveTransmission'),
  row('nbd-session', 'nbd/commands.ts', 'begin'),
  row('archive-identity', 'format/archive-identity.ts', 'decodeIdentity', 'dataKeyOf'),
  row('archive-objects', 'format/archive-objects.ts', 'decodePoint', 'decodeEpoch', 'decodeHead'),
  row('archive-objects', 'format/archive-objects.ts', 'placeOf', 'takeTree', 'takeKept'),
  row('archive-objects', 'format/archive-pin.ts', 'decodePin'),
  row('archive-objects', 'format/layout.ts', 'takeText'),
  row('archive-record', 'format/archive-record.ts', 'decodeRecord', 'decodeRecordHeader'),
  row('archive-index', 'format/archive-leaf.ts', 'decodeLeaf', 'readPiece'),
  row('archive-index', 'format/archive-node.ts', 'decodePage', 'decodePackPage', 'decodeRoot'),
  row('archive-node', 'format/archive-node.ts', 'decodeNode'),
  row('archive-journal', 'format/archive-journal.ts', 'decodeJournalHeader', 'takeJournalRow'),
  row('archive-journal', 'archive/journal.ts', 'open', 'run'),
  row('archive-looks', 'format/archive-looks.ts', 'decodeLooks'),
  row('archive-secret', 'archive/secret.ts', 'parseArchiveSecret'),
  row('restore-mark', 'restore/unfinished.ts', 'readUnfinished'),
];

/** Files that match MARKS and read nothing from outside, each with its reason. */
export const EXEMPT: Readonly<Record<string, string>> = {
  'cli/completion-tree.ts': 'our own command line, as commander has it',
  'daemon/group-id.ts': 'group(5) of the system, read by a name of the configuration',
  'daemon/main.ts': 'the command line, read by commander',
  'base/version.ts': 'the package.json that is installed with the program',
  'disk/probe.ts': 'numbers of sysfs, digits only',
  'disk/fingerprint.ts': 'numbers of sysfs, digits only',
  'disk/file-device.ts': 'the content of a disk, which is taken as it is',
  'disk/cache-reader.ts': 'the content of a disk, which is taken as it is',
  'disk/whole.ts': 'the content of a disk, which is taken as it is',
  'control/machine-facts.ts': 'four bytes of hostid(1)',
  'control/socket.ts': 'the path of a socket',
  'store/store.ts': 'declares readWhole; keys are made by this program',
  'store/directory-store.ts': 'reads whole objects for those who decode them',
  'store/s3-store.ts': "reads whole objects for those who decode them; answers are the SDK's",
  'store/probe.ts': 'reads back what it has just written, and compares',
  'archive/archive.ts': 'reads whole objects, which format/archive-*.ts decode',
  'store/patient-store.ts': 'reads whole objects for those who decode them',
  'restore/chunk-caches.ts': 'a nameless file of its own, each chunk with its check',
  'archive/looks.ts': 'reads a whole file, which format/archive-looks.ts decodes',
  'archive/pins.ts': 'reads whole objects, which format/archive-pin.ts decodes',
  'base/errors.ts': 'the message of an error of Node',
  'base/files.ts': 'declares readWhole',
  'base/node-files.ts': 'reads whole files for those who decode them',
};

/** Exported functions that are named like a decoder and are none. */
export const NOT_DECODERS: Readonly<Record<string, string>> = {
  readArchiveSecret: 'reads the file that parseArchiveSecret takes apart',
  readChunks: 'chunks of the disk',
};

/** How a text or bytes are taken apart. */
export const MARKS = new RegExp(
  [
    /\b(read(Big)?U?Int\d+[BL]E|getBig(Ui|I)nt64|get(Ui|I)nt(8|16|32))\(/,
    /JSON\.parse|safeParse\(|TextDecoder|\.(exec|match|matchAll)\(/,
    /decodeURIComponent|URLSearchParams|\breadWhole\w*\(/,
  ]
    .map(({ source }) => source)
    .join('|'),
);
