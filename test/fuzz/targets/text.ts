// Texts that people write: hast.conf as a whole, cron expressions, addresses, key files, the
// values of hastctl's options, and texts of the kernel. What hast.conf takes as an address must be
// one to whoever connects.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../../src/base/units.js';
import { AddressError, addressOf, formatAddress } from '../../../src/config/address.js';
import { FINDINGS_MAX, formatFinding } from '../../../src/config/finding.js';
import { KEYWORDS } from '../../../src/config/keywords.js';
import { CONFIG_BYTES_MAX, loadConfig } from '../../../src/config/load.js';
import type { NodeSettings } from '../../../src/config/settings.js';
import { durationSeconds, rateBits, shareOf, sizeBytes } from '../../../src/config/value.js';
import { hasLockOn } from '../../../src/disk/holders.js';
import { parseTcpAddress, showAddress } from '../../../src/net/address.js';
import { formatSecret, parseSecret, readSecret, SECRET_BYTES } from '../../../src/net/psk.js';
import { checkCron, nextFiring } from '../../../src/schedule/firing.js';
import { longestGapSeconds } from '../../../src/schedule/gap.js';
import { storeUrl } from '../../../src/store/url.js';
import { confFiles, projectFile } from '../../config/material.js';
import {
  decided,
  type Opened,
  plain,
  pure,
  refusal,
  type Target,
  type Verdict,
} from '../target.js';

const FILES = [
  'config/hast.conf.sample',
  'config/quickstart.conf',
  ...confFiles('config/examples'),
  ...confFiles('config/invalid'),
].map((name) => Buffer.from(projectFile(name)));

const MESSAGE_CHARACTERS_MAX = 9000;

/** Every address of accepted settings is one to who dials or listens. */
function usable(settings: NodeSettings): void {
  const addresses = settings.resources.flatMap(({ targets }) =>
    targets.flatMap(({ remote, source }) => [remote, source]),
  );
  for (const text of [...settings.listen, ...addresses]) {
    if (text !== null) parseTcpAddress(text);
  }
  for (const text of settings.exports) formatAddress(addressOf(text));
  for (const { targets, scrubShare, spillBytes, dataThreads } of settings.resources) {
    assert.ok(scrubShare >= 0 && scrubShare <= 1 && spillBytes > 0 && dataThreads >= 1);
    for (const { schedule } of targets) {
      if (schedule.kind === 'cron') assert.ok(nextFiring(schedule, 0, 0) > 0);
    }
  }
}

const config: Target = {
  name: 'config',
  kind: 'text',
  inputBytesMax: 8192,
  onceBytesMax: CONFIG_BYTES_MAX,
  totalBytesMax: 8 * MIB,
  words: [
    ...['{', '}', '"', '#', '\n', ' on ', 'resource ', 'target ', 'none', '5m', '"0 2 * * *"'],
    ...['tcp://127.0.0.1:8457', 'tcp6://[::1]', 'unix:///x', '__proto__', 'zstd:3', '20mbit', '1%'],
    ...KEYWORDS.map(({ name }) => ` ${name} `),
  ],
  seeds: () => FILES.map((file) => file.subarray(0, 8192)),
  open: pure((input) => {
    const text = Buffer.from(input).toString('utf8');
    const names = { names: ['a', 'storage1'] };
    const result = loadConfig(text, 'hast.conf', names, checkCron, longestGapSeconds);
    const { settings, findings } = result;
    assert.equal(
      settings === null,
      findings.some(({ level }) => level === 'error'),
    );
    assert.ok(findings.length <= FINDINGS_MAX + 1);
    const lines = text.split('\n');
    for (const finding of findings) {
      const line = lines[finding.line - 1];
      assert.ok(line !== undefined && finding.column >= 1 && finding.column <= line.length + 1);
      const message = formatFinding(finding);
      assert.ok(message.length < MESSAGE_CHARACTERS_MAX && !message.includes('\n'));
    }
    if (settings === null) return 'refused';
    usable(settings);
    return 'accepted';
  }),
};

const EXPRESSIONS = ['0 2 * * *', '*/5 * * * * *', '0 0 L * 5#2', '15,30 1-5/2 1 jan-mar mon'];

/** Input: an expression, a line end, a time zone. */
const cron: Target = {
  name: 'cron',
  kind: 'text',
  inputBytesMax: 300,
  onceBytesMax: MIB,
  totalBytesMax: 8 * MIB,
  words: ['*', '/', '-', ',', 'L', '#', '?', ' ', 'jan', 'sun', '31', '@daily', 'H', 'W', '0-59/1'],
  seeds: () =>
    EXPRESSIONS.flatMap((text) =>
      ['', '\nEurope/Berlin', '\nUTC'].map((zone) => Buffer.from(text + zone)),
    ),
  open: pure((input) => {
    const [expression = '', zone] = Buffer.from(input).toString('utf8').split('\n');
    const timezone = zone === undefined || zone === '' ? null : zone;
    const fault = checkCron(expression, timezone);
    const gap = longestGapSeconds(expression);
    assert.ok(gap === null || gap > 0);
    if (fault !== null) {
      assert.ok(fault.length < MESSAGE_CHARACTERS_MAX);
      return 'refused';
    }
    for (const atMs of [0, Date.UTC(2026, 2, 29, 0, 59), Date.UTC(2028, 1, 29)]) {
      assert.ok(nextFiring({ kind: 'cron', expression, timezone }, atMs, 0) > atMs, 'goes on');
    }
    return 'accepted';
  }),
};

const URLS = [
  ...['s3://abc', 's3://my.bucket-1/a/b_c/', 'file:///mnt/usb', 'file:////a//b c', 's3://A', 'x'],
  ...['s3://k:s@abc', 's3://abc/../x', 's3://abc/x?y#z', 'file:///a/../b'],
];

/** What is accepted means the same as it is shown. */
const storeUrls: Target = {
  name: 'store-url',
  kind: 'text',
  inputBytesMax: 700,
  onceBytesMax: MIB,
  totalBytesMax: MIB,
  words: ['s3://', 'file:///', '/', '//', '.', '..', '-', '_', '@', ':', '?', '%', 'bucket'],
  seeds: () => URLS.map((text) => Buffer.from(text)),
  open: pure((input) =>
    decided(
      'is no archive',
      () => storeUrl(Buffer.from(input).toString('utf8')),
      (found) => assert.deepEqual(storeUrl(found.url), found),
    ),
  ),
};

const ADDRESSES = [
  ...['tcp://127.0.0.1:8457', 'tcp6://[::1]:1', 'tcp4://host', 'host:80', '[fe80::1%lo]:1', '::1'],
  ...['unix:///run/x.sock', 'uds:///x', '/run/x', 'tcp://a-b.c_d.:0', 'TCP://X:65535'],
];

const address: Target = {
  name: 'address',
  kind: 'text',
  inputBytesMax: 300,
  onceBytesMax: MIB,
  totalBytesMax: MIB,
  words: ['tcp://', 'tcp4://', 'tcp6://', 'unix://', 'uds://', '[', ']', ':', '::', '%', '.', '1'],
  seeds: () => ADDRESSES.map((text) => Buffer.from(text)),
  open: pure((input) => {
    const text = Buffer.from(input).toString('utf8');
    return decided(
      'is not an address',
      () => addressOf(text),
      (found) => {
        const canonical = formatAddress(found);
        assert.deepEqual(addressOf(canonical), found, 'the canonical text means the same');
        if (found.kind === 'unix') return;
        const dialled = parseTcpAddress(canonical);
        assert.deepEqual(
          [dialled.host, dialled.port, dialled.family],
          [found.host, found.port, found.family],
        );
        assert.equal(parseTcpAddress(showAddress(dialled.host, dialled.port)).host, found.host);
      },
    );
  }),
};

const dialled: Target = {
  ...address,
  name: 'peer-address',
  open: pure((input) => {
    const text = Buffer.from(input).toString('utf8');
    return decided(
      text,
      () => parseTcpAddress(text),
      ({ host, port }) => {
        assert.ok(host !== '' && port >= 0 && port <= 65_535);
        addressFault(text);
      },
    );
  }),
};

/** hast.conf may be stricter, and says so. */
function addressFault(text: string): void {
  try {
    addressOf(text);
  } catch (error) {
    assert.ok(error instanceof AddressError);
  }
}

/** Input: a key file. */
async function openKeys(): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'hast-fuzz-'));
  const path = join(folder, 'vm1.key');
  const run = async (input: Uint8Array): Promise<Verdict> => {
    writeFileSync(path, input, { mode: 0o600 });
    const text = Buffer.from(input).toString('latin1');
    const parsed = attempt(() => parseSecret(text, path));
    const read = await readSecret(path).then(plain, () => null);
    if (input.length < 256) assert.equal(read, parsed === null ? null : plain(parsed));
    else assert.equal(read, null, 'what is not read is not left out');
    return verdictOfKey(text);
  };
  return { run, close: () => rmSync(folder, { recursive: true, force: true }) };
}

function attempt<T>(work: () => T): T | null {
  try {
    return work();
  } catch {
    return null;
  }
}

const secret: Target = {
  name: 'secret',
  kind: 'text',
  inputBytesMax: 300,
  onceBytesMax: 65_536,
  totalBytesMax: MIB,
  words: ['\n', '0', 'f', 'F', ' ', '\u00a0'],
  seeds: () => {
    const key = formatSecret(new Uint8Array(SECRET_BYTES).fill(0xab));
    return [Buffer.from(key), Buffer.from(`${key.padEnd(256)}x`)];
  },
  open: openKeys,
};

function verdictOfKey(text: string): Verdict {
  let found: Uint8Array;
  try {
    found = parseSecret(text, '/key');
  } catch (error) {
    assert.ok(!String(error).includes(text.slice(0, 64)) || text.length < 8, 'is not repeated');
    return refusal(error, '/key');
  }
  assert.equal(formatSecret(found), `${text.trim().toLowerCase()}\n`);
  return 'accepted';
}

/** Values of options, and a text of /proc. */
const values: Target = {
  name: 'values',
  kind: 'text',
  inputBytesMax: 200,
  onceBytesMax: 4096,
  totalBytesMax: 16_384,
  words: ['kbit', 'mbit', 'gbit', 'k', 'T', '%', 's', 'd', '.', '999999999', 'lock:', 'ff:01:1'],
  seeds: () =>
    ['4G', '20mbit', '1.5%', '15m', 'lock: 1: OFDLCK ADVISORY READ -1 fe:00:77 100 101\n'].map(
      (text) => Buffer.from(text),
    ),
  open: pure((input) => {
    const text = Buffer.from(input).toString('utf8');
    const read = [sizeBytes(text), rateBits(text), shareOf(text), durationSeconds(text, true)];
    for (const value of read) {
      assert.ok(value === null || (Number.isFinite(value) && value >= 0), `${text} is ${value}`);
    }
    const locked = hasLockOn(text, '77');
    return locked || read.some((value) => value !== null) ? 'accepted' : 'refused';
  }),
};

export const TEXT_TARGETS: readonly Target[] = [
  config,
  cron,
  address,
  storeUrls,
  dialled,
  secret,
  values,
];
