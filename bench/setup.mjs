// Set-up in one command, run by the npm scripts before anything is compiled (so plain JavaScript on
// Node alone): packages installed as locked, native modules loadable, TypeScript compiled. Says
// nothing and costs a fraction of a second when there is nothing to do; else says what it does.
// Ends with status 1 and one clear sentence when something is missing on this machine.
import { spawnSync } from 'node:child_process';
import { readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MIN = [20, 15];
/** Modules with native code; `source`: built here from source where no prebuilt arrives. */
const NATIVE = [
  { name: 'zstd-napi', source: true },
  { name: 'koffi', source: true },
  { name: '@napi-rs/blake-hash', source: false },
];

const top = join(dirname(fileURLToPath(import.meta.url)), '..');
const inTop = (...names) => join(top, ...names);

function stop(sentence) {
  console.error(`set-up: ${sentence}`);
  process.exit(1);
}

/** Milliseconds of the last change, or 0 when absent. */
const changedMs = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** npm as the one that runs us, else the one on the path. Its output is shown. */
function npm(...words) {
  console.log(`set-up: npm ${words.join(' ')}`);
  const own = process.env.npm_execpath;
  const [program, before] = own?.endsWith('npm-cli.js') ? [process.execPath, [own]] : ['npm', []];
  return spawnSync(program, [...before, ...words], { cwd: top, stdio: 'inherit' }).status === 0;
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [majorMin, minorMin] = NODE_MIN;
  if (major > majorMin || (major === majorMin && minor >= minorMin)) return;
  stop(`Node ${process.versions.node} is too old; hast needs ${NODE_MIN.join('.')} or newer.`);
}

function install() {
  const installedMs = changedMs(inTop('node_modules', '.package-lock.json'));
  if (installedMs > 0 && installedMs >= changedMs(inTop('package-lock.json'))) return;
  if (npm('ci', '--no-audit', '--no-fund')) return;
  stop(
    'npm ci failed. It needs the package registry; zstd-napi is built from source where no ' +
      "prebuilt arrives, and then needs Node's headers, python3, make and a C++ compiler " +
      '(Debian: apt-get install build-essential python3).',
  );
}

/** In a process of its own: a failed load is remembered by the process that tried. */
const loads = (names) =>
  spawnSync(process.execPath, ['-e', names.map((name) => `require('${name}');`).join('')], {
    cwd: top,
    encoding: 'utf8',
  });

function checkNative() {
  const names = NATIVE.map((one) => one.name);
  if (loads(names).status === 0) return;
  // npm may have been told not to run install scripts; then nothing has been built yet.
  npm('rebuild', ...NATIVE.filter((one) => one.source).map((one) => one.name));
  for (const name of names) {
    const { status, stderr } = loads([name]);
    if (status === 0) continue;
    const why = stderr.split('\n').find((line) => /^\w*Error/.test(line)) ?? 'no reason given';
    stop(
      `the native module ${name} does not load: ${why}\n` +
        "To build it: Node's headers, python3, make and a C++ compiler (Debian: apt-get install " +
        `build-essential python3), then: npm rebuild ${name}`,
    );
  }
}

/** Newest change below a folder: sources, and the folders themselves (a file was removed). */
function newestMs(folder) {
  let newest = changedMs(folder);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) newest = Math.max(newest, newestMs(path));
    else if (entry.name.endsWith('.ts')) newest = Math.max(newest, changedMs(path));
  }
  return newest;
}

function compile() {
  const stamp = inTop('dist', '.tsbuildinfo');
  const settings = ['tsconfig.json', 'package-lock.json'].map((name) => changedMs(inTop(name)));
  const sources = ['src', 'test', 'bench'].map((name) => newestMs(inTop(name)));
  if (changedMs(stamp) >= Math.max(...settings, ...sources)) return;
  const begun = new Date();
  const compiler = inTop('node_modules', 'typescript', 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
    cwd: top,
    stdio: 'inherit',
  });
  if (status === 0) {
    utimesSync(stamp, begun, begun); // what was edited meanwhile counts as newer
    return;
  }
  rmSync(stamp, { force: true }); // so that the next run does not take this one for done
  stop('the sources do not compile (above).');
}

checkNode();
install();
checkNative();
compile();
