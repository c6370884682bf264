// Rate and time left, over the last ten seconds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateMeter } from '../../src/daemon/rate-meter.js';

test('no rate and no end before anything has moved', () => {
  const meter = new RateMeter();
  assert.equal(meter.bytesPerSecond, 0);
  assert.equal(meter.etaSeconds(100), null);
  meter.sample(0, 500);
  assert.equal(meter.etaSeconds(100), null);
  meter.sample(1000, 500);
  assert.equal(meter.etaSeconds(100), null, 'standing still has no end');
});

test('the rate is of the last ten seconds only', () => {
  const meter = new RateMeter();
  for (let second = 0; second <= 30; second += 1) {
    meter.sample(second * 1000, second <= 15 ? 0 : (second - 15) * 1000);
  }
  assert.equal(meter.bytesPerSecond, 1000);
  assert.equal(meter.etaSeconds(2500), 3);
});

test('a new pass, whose count begins again, starts the rate anew', () => {
  const meter = new RateMeter();
  meter.sample(0, 0);
  meter.sample(1000, 9000);
  meter.sample(2000, 0);
  meter.sample(3000, 100);
  assert.equal(meter.bytesPerSecond, 100);
});
