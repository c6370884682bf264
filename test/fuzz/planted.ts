// Decoders with a mistake each, for engine.test.ts: what the engine has to find. As a program it
// runs one that cannot be survived in the process of a test: `node planted.js hang FOLDER` is
// killed by the watchdog, `late FOLDER` prints what the engine says of an error thrown too late.
import { Bench } from './engine.js';
import { pure, type Target, type Verdict } from './target.js';
import { Watchdog } from './watchdog.js';

const LIMITS = { inputBytesMax: 16, onceBytesMax: 4096, totalBytesMax: 16_384 } as const;
const HANG_MS_MAX = 300;

const planted = (name: string, seed: string, run: (input: Buffer) => void): Target => ({
  name,
  kind: 'bytes',
  ...LIMITS,
  seeds: () => [Buffer.from(seed)],
  open: pure((input) => {
    run(Buffer.from(input));
    return 'refused';
  }),
});

/** Trusts a length: reads behind the end. */
export const crashes = planted('crashes', 'L\0\0\0\u0004abcd', (input) => {
  if (input[0] !== 0x4c || input.length < 5) return;
  input.readUInt8(4 + input.readUInt32BE(1));
});

/** Trusts a length: allocates it. */
export const allocates = planted('allocates', 'L\0\0\0\u0004abcd', (input) => {
  if (input[0] !== 0x4c || input.length < 5) return;
  Buffer.alloc(Math.min(input.readUInt32BE(1), 2 ** 24));
});

/** Only who gets one bit after the other right comes to the mistake: luck does not. */
export const hides = planted('hides', 'xxxxxxxx', (input) => {
  if (input[0] !== 0x79) return;
  if (input[1] !== 0x7a) return;
  if (input[2] !== 0x7c) return;
  if (input[3] === 0x70) throw new TypeError('found');
});

/** Throws when everybody has gone. */
const late: Target = {
  ...planted('late', 'x', () => {}),
  open: () => ({
    run: async (): Promise<Verdict> => {
      setImmediate(() => {
        throw new TypeError('thrown too late');
      });
      await new Promise((resolve) => setTimeout(resolve, 5));
      return 'accepted';
    },
    close: () => {},
  }),
};

/** Waits for what never comes, with nothing left to do. */
const waits: Target = {
  ...planted('waits', 'x', () => {}),
  open: () => ({ run: () => new Promise<Verdict>(() => {}), close: () => {} }),
};

const hang = planted('hang', 'x', (input) => {
  for (let turns = 0; input[0] === 0x48; turns += 1) if (turns < 0) return;
});

async function main(what: string, folder: string): Promise<void> {
  const watchdog = new Watchdog(folder, HANG_MS_MAX);
  const bench = await Bench.open({ hang, waits, late }[what] ?? late, watchdog);
  const said = await bench.run(Buffer.from('Hello')).then(String, String);
  console.log(said);
  await bench.close();
  await watchdog.close();
}

const [, program = '', what, folder] = process.argv;
if (program.endsWith('planted.js') && what !== undefined && folder !== undefined) {
  await main(what, folder);
}
