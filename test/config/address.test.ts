// Addresses in all of HAST's forms, their defaults, what is refused, and what is loopback.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { codeOf } from '../../src/base/errors.js';
import { AddressError, addressOf, formatAddress, isLoopback } from '../../src/config/address.js';
import { seeded } from './material.js';

const tcp = (family: 0 | 4 | 6, host: string, port: number) => ({
  kind: 'tcp',
  family,
  host,
  port,
});

test('forms of TCP addresses', () => {
  const forms: readonly [string, object][] = [
    ['10.0.0.1', tcp(0, '10.0.0.1', 8457)],
    ['10.0.0.1:99', tcp(0, '10.0.0.1', 99)],
    ['hosta', tcp(0, 'hosta', 8457)],
    ['hosta.example.org:1', tcp(0, 'hosta.example.org', 1)],
    ['tcp://hosta', tcp(0, 'hosta', 8457)],
    ['TCP4://127.0.0.1:65535', tcp(4, '127.0.0.1', 65_535)],
    ['tcp6://[::]:8457', tcp(6, '::', 8457)],
    ['tcp6://::1', tcp(6, '::1', 8457)],
    ['[2001:db8::2]:5', tcp(0, '2001:db8::2', 5)],
    ['[2001:db8::2]', tcp(0, '2001:db8::2', 8457)],
    ['2001:db8::1', tcp(0, '2001:db8::1', 8457)],
    ['fe80::1%eth0', tcp(0, 'fe80::1%eth0', 8457)],
    ['[::ffff:127.0.0.1]:1', tcp(0, '::ffff:127.0.0.1', 1)],
    ['localhost:0', tcp(0, 'localhost', 0)],
  ];
  for (const [text, address] of forms) assert.deepEqual(addressOf(text), address, text);
  assert.deepEqual(addressOf('hosta', 0), tcp(0, 'hosta', 0), 'the default port is the caller s');
  assert.deepEqual(addressOf('hosta:7', 0), tcp(0, 'hosta', 7));
});

test('forms of unix addresses', () => {
  for (const text of [
    'unix:///run/x.sock',
    'uds:///run/x.sock',
    'UNIX:///run/x.sock',
    '/run/x.sock',
  ]) {
    assert.deepEqual(addressOf(text), { kind: 'unix', path: '/run/x.sock' }, text);
  }
});

test('refused addresses name the reason and carry the code', () => {
  const wrong: readonly [string, RegExp][] = [
    ['', /the host is missing/],
    ['tcp://', /the host is missing/],
    [':8457', /the host is missing/],
    ['[]:8457', /the host is missing/],
    ['hosta:', /the port "" is not a number/],
    ['hosta:x', /the port "x" is not a number/],
    ['hosta:-1', /the port "-1"/],
    ['hosta:65536', /is not a number of 0\.\.65535/],
    ['hosta:0000080', /is not a number of 0\.\.65535/],
    ['http://hosta', /the scheme http is none of tcp, tcp4, tcp6, unix, uds/],
    ['constructor://hosta', /the scheme constructor is none of/],
    ['tcp4://[::1]', /tcp4 needs an IPv4 address/],
    ['tcp6://10.0.0.1', /tcp6 needs an IPv6 address/],
    ['10.0.0', /no IPv4 address/],
    ['256.1.1.1:80', /no IPv4 address/],
    ['1:2:3', /no IPv6 address; with a port it is written \[address\]:port/],
    ['2001:db8::1:99999', /no IPv6 address/],
    ['[::1', /no IPv6 address/],
    ['host a', /letters, digits, dots and hyphens/],
    ['-host', /letters, digits, dots and hyphens/],
    ['h/../x', /letters, digits, dots and hyphens/],
    ['unix://run/x', /begins with \//],
    [`/${'x'.repeat(107)}`, /at most 107 bytes/],
    [`${'h'.repeat(254)}`, /letters, digits, dots and hyphens/],
  ];
  for (const [text, why] of wrong) {
    assert.throws(
      () => addressOf(text),
      (error) => error instanceof AddressError && why.test(error.message),
      text,
    );
  }
  assert.doesNotThrow(() => addressOf(`/${'x'.repeat(106)}`));
  try {
    addressOf('');
  } catch (error) {
    assert.equal(codeOf(error), 'ADDRESS_INVALID');
  }
});

test('loopback is what no other machine can reach', () => {
  const inside = [
    '127.0.0.1',
    '127.9.9.9:1',
    'localhost',
    'LOCALHOST',
    '::1',
    '[0:0:0:0:0:0:0:1]:1',
  ];
  for (const text of [...inside, '[::ffff:127.0.0.1]:1', '/run/x', 'tcp6://localhost']) {
    assert.equal(isLoopback(addressOf(text)), true, text);
  }
  const outside = ['0.0.0.0', '[::]:8457', '10.0.0.1', '128.0.0.1', 'hosta', 'fe80::1', '::2'];
  for (const text of [...outside, 'localhost.example.org', '127.0.0.1.example.org']) {
    assert.equal(isLoopback(addressOf(text)), false, text);
  }
});

test('the canonical text reads back as the same address', (t) => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('hosta', 'a.b-c.org', 'x_1'));
  const port = fc.option(fc.integer({ min: 0, max: 65_535 }), { nil: null });
  fc.assert(
    fc.property(host, port, (name, number) => {
      const bracketed = name.includes(':') && number !== null ? `[${name}]` : name;
      const address = addressOf(number === null ? bracketed : `${bracketed}:${number}`);
      assert.ok(address.kind === 'tcp');
      assert.equal(address.host, name);
      assert.equal(address.port, number ?? 8457);
      assert.deepEqual(addressOf(formatAddress(address)), address);
    }),
    seeded(t, 500),
  );
  assert.equal(formatAddress(addressOf('tcp6://::1')), 'tcp6://[::1]:8457');
  assert.equal(formatAddress(addressOf('/run/x')), 'unix:///run/x');
});

test('any text is an address or a typed error', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      try {
        addressOf(text);
      } catch (error) {
        assert.ok(error instanceof AddressError);
      }
    }),
    seeded(t, 2000),
  );
});
