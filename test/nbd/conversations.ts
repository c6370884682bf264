// Negotiations as a table: what a client sends after its flags, and how it must end. Numbers are
// those of proto.md ("Option reply types"), written here and not taken from src/nbd.
import { OPTION_BYTES_MAX, OPTIONS_MAX } from '../../src/nbd/negotiation.js';
import { goData, OPT, option, words } from './client.js';

const ACK = 1;
export const SERVER = 2;
const INFO = 3;
export const ERR = (number: number): number => 0x8000_0000 + number;

export interface Conversation {
  readonly title: string;
  readonly input: readonly Buffer[];
  /** Outcome in words. */
  readonly end: string;
  /** Types of the option replies. */
  readonly types: readonly number[];
}

/** For a server with the exports vm1, writable, and vm1@42, read-only. */
export const conversations: readonly Conversation[] = [
  { title: 'nothing but flags', input: [], end: 'more', types: [] },
  { title: 'ABORT', input: [option(OPT.ABORT)], end: 'aborted', types: [ACK] },
  {
    title: 'ABORT with data that is ignored',
    input: [option(OPT.ABORT, Buffer.from('bye'))],
    end: 'aborted',
    types: [ACK],
  },
  { title: 'LIST', input: [option(OPT.LIST)], end: 'more', types: [SERVER, SERVER, ACK] },
  {
    title: 'LIST with data',
    input: [option(OPT.LIST, Buffer.from('x'))],
    end: 'more',
    types: [ERR(3)],
  },
  {
    title: 'GO',
    input: [option(OPT.GO, goData('vm1', 3))],
    end: 'transmit vm1',
    types: [INFO, INFO, ACK],
  },
  {
    title: 'GO asking for the name and for what nobody knows',
    input: [option(OPT.GO, goData('vm1@42', 1, 3, 999))],
    end: 'transmit vm1@42',
    types: [INFO, INFO, INFO, ACK],
  },
  {
    title: 'INFO, then GO',
    input: [option(OPT.INFO, goData('vm1')), option(OPT.GO, goData('vm1'))],
    end: 'transmit vm1',
    types: [INFO, INFO, ACK, INFO, INFO, ACK],
  },
  {
    title: 'GO for an unknown export, then a known one',
    input: [option(OPT.GO, goData('vm2')), option(OPT.GO, goData('vm1'))],
    end: 'transmit vm1',
    types: [ERR(6), INFO, INFO, ACK],
  },
  {
    title: 'GO for the default export, which there is not',
    input: [option(OPT.GO, goData(''))],
    end: 'more',
    types: [ERR(6)],
  },
  {
    title: 'INFO and GO that are malformed',
    input: [
      option(OPT.GO),
      option(OPT.GO, goData('vm1').subarray(0, 8)),
      option(OPT.INFO, Buffer.concat([goData('vm1'), Buffer.alloc(1)])),
      option(OPT.INFO, words([32, 0xffff_ffff], [16, 0])),
      option(OPT.GO, words([32, 0], [16, 9])),
    ],
    end: 'more',
    types: [ERR(3), ERR(3), ERR(3), ERR(3), ERR(3)],
  },
  {
    title: 'a name of 4097 bytes',
    input: [option(OPT.GO, goData('n'.repeat(4097)))],
    end: 'more',
    types: [ERR(3)],
  },
  {
    title: 'STARTTLS, EXTENDED_HEADERS, PEEK_EXPORT, rubbish',
    input: [5, 11, 4, 0, 0xffff_ffff].map((number) => option(number)),
    end: 'more',
    types: [ERR(2), ...Array.from({ length: 4 }, () => ERR(1))],
  },
  {
    title: 'an option longer than what is held',
    input: [option(OPT.GO, Buffer.alloc(OPTION_BYTES_MAX + 1)), option(OPT.ABORT)],
    end: 'aborted',
    types: [ERR(9), ACK],
  },
  {
    title: 'an option of 4 GiB',
    input: [Buffer.from('IHAVEOPT'), words([32, OPT.GO], [32, 0xffff_ffff])],
    end: 'too-much',
    types: [],
  },
  {
    title: 'a long EXPORT_NAME',
    input: [option(OPT.EXPORT_NAME, Buffer.alloc(OPTION_BYTES_MAX + 1))],
    end: 'too-much',
    types: [],
  },
  {
    title: 'EXPORT_NAME unknown',
    input: [option(OPT.EXPORT_NAME, Buffer.from('vm9'))],
    end: 'unknown-export',
    types: [],
  },
  { title: 'no option magic', input: [Buffer.alloc(16)], end: 'bad-magic', types: [] },
  {
    title: 'as many options as are allowed',
    input: Array.from({ length: OPTIONS_MAX }, () => option(99)),
    end: 'more',
    types: Array.from({ length: OPTIONS_MAX }, () => ERR(1)),
  },
  {
    title: 'more options than are allowed',
    input: Array.from({ length: OPTIONS_MAX + 1 }, () => option(99)),
    end: 'too-much',
    types: Array.from({ length: OPTIONS_MAX }, () => ERR(1)),
  },
];
