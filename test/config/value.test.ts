// Values: durations, sizes, numbers, compression, names, and the sentence for each wrong one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEYWORDS, keywordOf, LISTEN_DEFAULTS } from '../../src/config/keywords.js';
import {
  compressionOf,
  durationSeconds,
  nameFault,
  rateBits,
  shareOf,
  sizeBytes,
  valueFault,
  wholeNumber,
} from '../../src/config/value.js';

/** The fault of `text` as a value of the setting, or null. */
function fault(setting: string, text: string): string | null {
  const keyword = keywordOf(setting);
  assert.ok(keyword, setting);
  return valueFault(keyword, text);
}

/** [setting, values that are right, values that are wrong with what is said]. */
const EDGES: readonly [string, readonly string[], Readonly<Record<string, RegExp>>][] = [
  ['interval', ['10s', '15m', '744h', '31d'], { '9s': /outside 10s\.\.31d/, '32d': /outside/ }],
  ['interval', [], { '15': /15 has no unit; write 15s, 15m, 15h or 15d/, '1w': /not a duration/ }],
  ['interval', [], { '': /not a duration/, '-5m': /not a duration/, '1.5h': /not a duration/ }],
  [
    'timeout',
    ['1', '20', '20s', '1d'],
    { '0': /outside 1s\.\.1d/, '86401': /outside/, x: /not a/ },
  ],
  [
    'retain',
    ['1', '24', '3072', 'last 24 daily 3'],
    { '0': /keeps nothing/, '3073': /3072 are the most/, '1e3': /pairs/, 'daily x': /followed/ },
  ],
  [
    'url',
    ['s3://abc', 's3://abc/x/y', 'file:///x'],
    { 's3://A': /not the place/, 'file://x': /not/ },
  ],
  ['endpoint', ['http://h:1', 'https://h/'], { h: /not an endpoint/, 'http://u@h': /endpoint/ }],
  ['region', ['eu-central-1'], { '': /name/ }],
  ['class', ['STANDARD_IA'], { 'a b': /name/ }],
  ['checksums', ['supported', 'required'], { none: /supported/ }],
  ['data-threads', ['1', '16'], { '0': /1\.\.16/, '17': /1\.\.16/ }],
  ['spill', ['64k', '65536', '4G', '256T'], { '63k': /outside 64k\.\.256T/, '257T': /outside/ }],
  ['verify', ['off', '64M', '2G'], { '63M': /outside/, on: /not a size/, '1%': /not a size/ }],
  ['spill', [], { '4GB': /not a size; write a number with k, M, G or T/, G: /not a size/ }],
  ['compression', ['none', 'hole', 'lzf', 'zstd', 'zstd:1', 'zstd:19'], { 'zstd:0': /1\.\.19/ }],
  ['compression', [], { 'zstd:': /1\.\.19/, 'zstd:20': /1\.\.19/, zst: /did you mean zstd\?/ }],
  ['checksum', ['none', 'crc32', 'sha256'], { crc23: /did you mean crc32\?/, md5: /not one of/ }],
  ['insecure', ['on', 'off'], { yes: /not one of on, off/ }],
  ['metaflush', ['off', 'on'], { yes: /not one of on, off/ }],
  [
    'rate',
    ['none', '8kbit', '20mbit', '2.5Mbit', '1000gbit'],
    { '7kbit': /outside 8kbit\.\.1000gb/ },
  ],
  ['rate', [], { '1001gbit': /outside/, '20': /20 has no unit; write 20kbit, 20mbit or 20gbit/ }],
  ['rate', [], { '20M': /write 20mbit, or 160mbit if bytes were meant/, '2.5G/s': /or 20gbit if/ }],
  ['rate', [], { '20mbit/s': /is not a rate; write 20mbit$/, '20Mbits': /write 20mbit$/ }],
  [
    'rate',
    [],
    { '': /not a rate/, off: /or none$/, '-1mbit': /not a rate/, '1tbit': /not a rate/ },
  ],
  ['max-lag', ['none', '1m', '26h', '366d'], { '59s': /outside 60s\.\.366d/, '367d': /outside/ }],
  ['max-lag', [], { '26': /26 has no unit; write 26s, 26m, 26h or 26d/, off: /not a duration/ }],
  ['remember', ['on', 'off'], { yes: /not one of on, off/ }],
  ['start-alone', ['serve', 'wait'], { server: /did you mean serve\?/, on: /not one of/ }],
  ['scrub', ['off', '0.1%', '1%', '12.5%', '100%'], { '0.099%': /outside 0.1%\.\.100%/ }],
  [
    'scrub',
    [],
    { '100.1%': /outside/, '1': /1 is not a share; write 1%, or off/, none: /or off$/ },
  ],
  ['replication', ['periodic'], { periodc: /did you mean periodic\?/, constructor: /not one of/ }],
  ['schedule', ['0 2 * * *', ' */5  7-19 * * 1-5 ', '0 0 2 * * *'], { '@daily': /1 fields/ }],
  ['schedule', [], { '': /0 fields/, '1 2 3 4 5 6 7': /7 fields/ }],
  ['timezone', ['UTC', 'Europe/Berlin', 'Etc/GMT+1'], { Berlin: /not a time zone/, '': /not a/ }],
  ['timezone', [], { '+01:00': /not a time zone/ }],
  ['local', ['/dev/vg0/x', '/srv/a b'], { 'x.img': /not a full path/, '': /not a full/ }],
  ['local', [], { '/': /root directory/, '/..': /root directory/ }],
  ['exportgroup', ['kvm', 'libvirt-qemu', '_x'], { 'a b': /not the name of a group/, '': /group/ }],
  ['control', ['/run/x', 'uds:///run/x'], { 'tcp://127.0.0.1': /unix socket only/ }],
  [
    'export',
    ['unix:///run/x', 'tcp://127.0.0.1', '[::1]:1'],
    { 'tcp://10.0.0.1': /authentication/ },
  ],
  ['export', [], { 'tcp://0.0.0.0': /outside/, 'tcp://hosta': /outside/ }],
  ['listen', ['0.0.0.0', '/run/x', 'tcp://127.0.0.1:0'], { 'x:y:z': /not an address/ }],
  ['remote', ['none', 'hostb', 'unix:///run/x'], { 'hostb:0': /port 0/, '': /missing/ }],
  ['source', ['10.0.0.1', '10.0.0.1:0'], { '/run/x': /cannot come from a unix socket/ }],
  ['name', ['vm1', '1', 'A.b-c_d'], { '.': /cannot be a name/, 'a/b': /cannot be a name/ }],
];

test('every limit, just inside and just outside', () => {
  for (const [setting, right, wrong] of EDGES) {
    for (const text of right) assert.equal(fault(setting, text), null, `${setting} ${text}`);
    for (const [text, why] of Object.entries(wrong)) {
      assert.match(fault(setting, text) ?? 'accepted', why, `${setting} ${text}`);
    }
  }
  const tested = new Set(EDGES.map(([setting]) => setting));
  const paths = ['pidfile', 'statedir', 'exec', 'secret', 'key'];
  const missing = KEYWORDS.filter(({ name }) => !tested.has(name) && !paths.includes(name));
  assert.deepEqual(missing, [], 'every setting has its edges here');
});

test('synchronous modes are refused with the line to write', () => {
  for (const mode of ['fullsync', 'memsync', 'async']) {
    assert.match(fault('replication', mode) ?? '', /not built.*write replication periodic$/, mode);
  }
});

test('defaults of the table are values of their settings', () => {
  for (const keyword of KEYWORDS) {
    if (keyword.name === 'listen') continue;
    if (keyword.default !== null) assert.equal(valueFault(keyword, keyword.default), null);
  }
  for (const address of LISTEN_DEFAULTS) assert.equal(fault('listen', address), null);
  assert.equal(keywordOf('listen')?.default, LISTEN_DEFAULTS.join(' '));
});

test('readers of numbers', () => {
  assert.deepEqual(
    ['30s', '15m', '6h', '1d'].map((d) => durationSeconds(d, false)),
    [30, 900, 21_600, 86_400],
  );
  assert.equal(durationSeconds('20', true), 20);
  assert.equal(durationSeconds('20', false), null);
  assert.deepEqual(['1', '1k', '1K', '2m', '1G', '1t'].map(sizeBytes), [
    1,
    1024,
    1024,
    2_097_152,
    2 ** 30,
    2 ** 40,
  ]);
  assert.deepEqual(
    [sizeBytes(''), sizeBytes('-1'), sizeBytes('0x10'), sizeBytes('9'.repeat(16))],
    [null, null, null, null],
  );
  assert.deepEqual(['7', '007', '', '1.0', '1234567890'].map(wholeNumber), [
    7,
    7,
    null,
    null,
    null,
  ]);
});

test('rates are decimal, as links are', () => {
  assert.deepEqual(
    ['500kbit', '20mbit', '2.5Gbit', '0.001kbit', '1.001kbit'].map(rateBits),
    [500_000, 20_000_000, 2_500_000_000, 1, 1001],
  );
  for (const wrong of ['', 'none', '20', '20m', '20mbit ', '1.0001mbit', '.5mbit', '1e3kbit']) {
    assert.equal(rateBits(wrong), null, wrong);
  }
});

test('shares', () => {
  assert.deepEqual(['off', '1%', '0.1%', '12.5%', '100%'].map(shareOf), [0, 0.01, 0.001, 0.125, 1]);
  for (const wrong of ['', '1', '%', '1 %', 'none', '.5%', '1%%']) {
    assert.equal(shareOf(wrong), null, wrong);
  }
});

test('compression', () => {
  assert.deepEqual(compressionOf('none'), { codec: 'none' });
  assert.deepEqual(compressionOf('hole'), { codec: 'hole' });
  assert.deepEqual(compressionOf('lzf'), { codec: 'zstd', level: 1 });
  assert.deepEqual(compressionOf('zstd'), { codec: 'zstd', level: 3 });
  assert.deepEqual(compressionOf('zstd:19'), { codec: 'zstd', level: 19 });
  for (const wrong of ['', 'zstd:', 'zstd:0', 'zstd:20', 'zstd:1.5', 'ZSTD', 'gzip']) {
    assert.equal(compressionOf(wrong), null, wrong);
  }
});

test('names are usable as folders', () => {
  for (const name of ['vm1', '0', `a${'b'.repeat(63)}`, 'a..b'])
    assert.equal(nameFault(name), null);
  for (const name of [
    '',
    '.',
    '..',
    '.x',
    '-x',
    '_x',
    'a/b',
    'a b',
    'ä',
    'a\n',
    `a${'b'.repeat(64)}`,
  ]) {
    assert.match(nameFault(name) ?? 'accepted', /cannot be a name/, name);
  }
});
