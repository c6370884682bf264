// Frozen bytes of the protocol (STYLE 10): every type of message with its header, the greeting too,
// as version 1 writes it; read again, and written to the byte. Layouts: hast-protocol(7).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equalBytes } from '../../src/base/digest.js';
import { HEADER_BYTES } from '../../src/peer/header.js';
import { TYPE_NUMBERS } from '../../src/peer/messages.js';
import { frozen } from '../format/frozen.js';
import { madeMessages, messageFiles } from './golden-messages.js';
import { plain, readAll } from './wire.js';

for (const [name, messages] of Object.entries(messageFiles())) {
  test(`reads and writes a version 1 ${name.replace('-v1.bin', '')}`, async () => {
    const made = madeMessages(messages);
    const bytes = frozen(name, made);
    assert.deepEqual(plain(await readAll(bytes)), plain(messages));
    assert.ok(equalBytes(made, bytes));
    const [first] = messages;
    assert.ok(first);
    assert.deepEqual([bytes[4], bytes[5]], [TYPE_NUMBERS[first.message.type], 1]);
    assert.ok(bytes.length >= HEADER_BYTES * messages.length);
  });
}
