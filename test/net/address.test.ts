// Addresses as hast.conf(5) writes them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf } from '../../src/base/errors.js';
import { isLoopback, parseTcpAddress, showAddress } from '../../src/net/address.js';

const GOOD: readonly [string, string, number, number][] = [
  ['tcp://127.0.0.1:18457', '127.0.0.1', 18457, 0],
  ['tcp://b.example.org', 'b.example.org', 8457, 0],
  ['TCP4://10.0.0.1:1', '10.0.0.1', 1, 4],
  ['tcp6://[::1]:65535', '::1', 65535, 6],
  ['tcp://[fe80::1]', 'fe80::1', 8457, 0],
  ['tcp6://fe80::1', 'fe80::1', 8457, 6],
  ['10.1.2.3', '10.1.2.3', 8457, 0],
  ['host-b:99', 'host-b', 99, 0],
  ['::1', '::1', 8457, 6],
];

for (const [text, host, port, family] of GOOD) {
  test(`address ${text}`, () => {
    assert.deepEqual(parseTcpAddress(text), { host, port, family });
  });
}

test('a source address has no port unless it is written', () => {
  assert.equal(parseTcpAddress('tcp://127.0.0.2', 0).port, 0);
  assert.equal(parseTcpAddress('tcp://127.0.0.2:5', 0).port, 5);
});

const BAD = [
  '',
  'udp://a:1',
  'unix:///run/x',
  'tcp://',
  'tcp://a:b',
  'tcp://a:65536',
  'tcp://a:1:2',
  'tcp://[127.0.0.1]:5',
  'tcp4://[::1]:5',
  'tcp6://10.0.0.1',
  'tcp://a/b',
];

for (const text of BAD) {
  test(`no address: ${text}`, () => {
    assert.throws(
      () => parseTcpAddress(text),
      (error) => codeOf(error) === 'PEER_BAD_ADDRESS' && String(error).includes('tcp://HOST:PORT'),
    );
  });
}

test('addresses are shown so that they can be typed', () => {
  assert.equal(showAddress('::1', 5), '[::1]:5');
  assert.equal(showAddress('10.0.0.1', 5), '10.0.0.1:5');
});

test('loopback is what only this machine reaches', () => {
  for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '::1']) assert.ok(isLoopback(host));
  for (const host of ['0.0.0.0', '10.0.0.1', '::', '127.example.org']) assert.ok(!isLoopback(host));
});
