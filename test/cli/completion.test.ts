// Completion in the shells themselves: bash's function is called with a command line, fish is asked
// what it would offer, zsh is typed at in a terminal; all with a real configuration and no daemon.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Argument, Command } from 'commander';
import { bashScript } from '../../src/cli/completion-bash.js';
import { fishScript } from '../../src/cli/completion-fish.js';
import { completionTree } from '../../src/cli/completion-tree.js';
import { zshScript } from '../../src/cli/completion-zsh.js';
import { runHastctl } from '../../src/cli/program.js';
import type { CliMachinery } from '../../src/cli/session.js';
import { needTool, scratch } from '../real.js';
import { HASTCTL, hastctl } from './run-hastctl.js';

const THREE = `listen /run/hast/l
resource vm1 {
  local /srv/1 target b { remote /b } target c { remote /c }
  on a { } on b { remote /a }
}
resource web { on a { local /srv/2 remote none } on b { local /srv/2 remote none } }
`;

/** A folder with a configuration, `hastctl` on the path, and the script of a shell. */
async function prepared(t: TestContext, shell: string) {
  const folder = scratch(t);
  const conf = join(folder, 'hast.conf');
  writeFileSync(conf, THREE);
  const script = join(folder, `script.${shell}`);
  const made = await hastctl(['completion', shell]);
  assert.equal(made.status, 0, made.err);
  writeFileSync(script, made.out);
  const program = `#!/bin/sh\nexec "${process.execPath}" "${HASTCTL}" "$@"\n`;
  writeFileSync(join(folder, 'hastctl'), program, { mode: 0o755 });
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}`, HOME: folder, TERM: 'dumb' };
  const run = (program_: string, args: readonly string[]): string => {
    const child = spawnSync(program_, args, {
      env,
      encoding: 'utf8',
      timeout: 60_000,
      cwd: folder,
    });
    assert.equal(child.stderr, '', `${program_} ${args.join(' ')}`);
    return child.stdout;
  };
  return { folder, script, before: `-c ${conf} --node a`, run };
}

/** Typed line after the program (`@`: the configuration's options): what is offered. */
const LINES: readonly [string, readonly string[]][] = [
  ['stat', ['status']],
  ['re', ['recover', 'reload', 'repack', 'resize', 'restore', 'resume']],
  ['role ', ['init', 'primary', 'secondary']],
  ['role sec', ['secondary']],
  ['completion ', ['bash', 'fish', 'zsh']],
  ['create --f', ['--force']],
  ['--conf', ['--config']],
  ['@ sync ', ['vm1', 'web']],
  ['@ sync w', ['web']],
  ['@ role primary ', ['all', 'vm1', 'web']],
  ['@ role primary vm1 w', ['web']],
  ['@ status ', ['all', 'vm1', 'web']],
  ['@ pause vm1 ', ['b', 'c']],
  ['@ pause web ', ['b']],
  ['@ pause nobody ', []],
  ['@ set vm1 --target ', ['b', 'c']],
  ['@ set vm1 ra', ['rate']],
  ['@ create -e 4M v', ['vm1']],
  ['-c /nowhere sync ', []],
];

test('bash offers what may stand there', async (t) => {
  if (!needTool(t, 'bash')) return;
  const { script, before, run } = await prepared(t, 'bash');
  const ask =
    'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hastctl; ' +
    `printf '%s\\n' "\${COMPREPLY[@]}"`;
  const offered = (words: readonly string[]): string[] =>
    run('bash', ['-c', ask, 'bash', script, 'hastctl', ...words])
      .split('\n')
      .filter(Boolean)
      .toSorted();
  for (const [line, wanted] of LINES) {
    assert.deepEqual(offered(line.replace('@', before).split(' ')), wanted, line);
  }
  // bash cuts words at =.
  const file = before.split(' ')[1] ?? '';
  assert.deepEqual(offered(['--config', '=', file, '--node', '=', 'a', 'sync', '']), [
    'vm1',
    'web',
  ]);
  assert.deepEqual(offered(['set', '--target', '=', 'x', '']), []);
  assert.deepEqual(offered(['--config', '=', file.slice(0, -1)]), [file]);
  assert.deepEqual(offered(['-c', file.slice(0, -1)]), [file]);
  // And at @.
  const options = before.split(' ');
  assert.deepEqual(offered([...options, 'restore', 'v']), ['vm1']);
  assert.deepEqual(offered([...options, 'restore', 'vm1', '@']), []);
  assert.deepEqual(offered([...options, 'restore', 'vm1', '@', '4']), []);
  assert.deepEqual(offered([...options, 'restore', 'vm1', '@', '42', file.slice(0, -1)]), [file]);
  assert.deepEqual(offered([...options, 'diff', 'vm1', '@', '42', 'w']), ['web']);
});

test('bash offers every verb, and after it every option', async (t) => {
  if (!needTool(t, 'bash')) return;
  const { script, run } = await prepared(t, 'bash');
  const helpOf = async (...args: string[]): Promise<string> => {
    let text = '';
    const out = (piece: string): void => {
      text += piece;
    };
    const machinery = { out, err: out, terminal: false } as unknown as CliMachinery;
    assert.equal(await runHastctl([...args, '--help'], { node: null }, machinery), 0);
    return text;
  };
  const help = await helpOf();
  const verbs = [...help.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1] ?? '');
  assert.ok(verbs.length >= 13, help);
  // A line for the verbs, then one for the options of each.
  const ask =
    'source "$1"; shift; COMP_WORDS=(hastctl ""); COMP_CWORD=1; _hastctl; ' +
    `echo "\${COMPREPLY[*]}"; ` +
    'for verb; do COMP_WORDS=(hastctl "$verb" -); COMP_CWORD=2; _hastctl; ' +
    `echo "+ \${COMPREPLY[*]}"; done`;
  const [first, ...rest] = run('bash', ['-c', ask, 'bash', script, ...verbs])
    .trim()
    .split('\n');
  assert.deepEqual(first?.split(' ').toSorted(), verbs.toSorted());
  for (const [i, verb] of verbs.entries()) {
    const text = await helpOf(verb);
    const flags = [...text.matchAll(/^ {2}(-\w), (--[a-z-]+)|^ {2,6}(--[a-z-]+)/gm)]
      .flatMap(([, short, long, alone]) => [short, long, alone])
      .filter((flag) => flag !== undefined);
    assert.ok(flags.includes('--config') && flags.includes('--help'), text);
    const offered = rest[i]?.split(' ').slice(1).toSorted();
    assert.deepEqual(offered, [...new Set(flags)].toSorted(), verb);
  }
});

test('fish offers what may stand there', async (t) => {
  if (!needTool(t, 'fish')) return;
  const { script, before, run } = await prepared(t, 'fish');
  assert.equal(run('fish', ['--no-config', '-n', script]), '');
  for (const [line, wanted] of LINES) {
    const typed = `hastctl ${line.replace('@', before)}`;
    const ask = `source ${script}; complete -C '${typed}'`;
    const offered = run('fish', ['--no-config', '-c', ask]).split('\n').filter(Boolean);
    assert.deepEqual(offered.map((each) => each.split('\t')[0]).toSorted(), wanted, line);
  }
});

/** Types lines into an interactive zsh, each with a tab behind it, and keeps what they became. */
const TYPE = `
zmodload zsh/zpty
out=$1; script=$2; shift 2
zpty z "zsh -f -i"
zpty -w z "autoload -U compinit; compinit -D -u; source $script
dump() { print -r -- \\"\\$BUFFER\\" >> $out }; zle -N dump; bindkey '^X^D' dump
bindkey '^I' complete-word; print -r ready > $out.ready"
for i in {1..200}; do [[ -e $out.ready ]] && break; sleep 0.1; done
for line in "$@"; do
  zpty -w -n z "$line"$'\\t'
  zpty -w -n z $'\\x18\\x04\\x15'
done
for i in {1..200}; do [[ -e $out && $(wc -l < $out) -ge $# ]] && break; sleep 0.1; done
zpty -d z
`;

test('zsh completes what is typed', async (t) => {
  if (!needTool(t, 'zsh')) return;
  const { folder, script, before, run } = await prepared(t, 'zsh');
  assert.equal(run('zsh', ['-n', script]), '');
  const out = join(folder, 'typed');
  // Only where one thing is offered does the line change by one tab.
  const single = LINES.filter(([, wanted]) => wanted.length === 1 && wanted[0] !== '--config');
  const typed = single.map(([line]) => `hastctl ${line.replace('@', before)}`);
  run('zsh', ['-f', '-c', TYPE, 'zsh', out, script, ...typed]);
  const became = readFileSync(out, 'utf8').trimEnd().split('\n');
  const expected = single.map(([, wanted], i) =>
    `${typed[i] ?? ''}`.replace(/[^ ]*$/, `${wanted[0]} `),
  );
  assert.deepEqual(
    became.map((line) => line.trimEnd()),
    expected.map((line) => line.trimEnd()),
  );
});

test('names are those of the configuration, for programs', async (t) => {
  const { before } = await prepared(t, 'bash');
  const options = before.split(' ');
  assert.equal((await hastctl([...options, 'completion', '--names'])).out, 'vm1\nweb\n');
  assert.equal((await hastctl([...options, 'completion', '--targets', 'vm1'])).out, 'b\nc\n');
  assert.equal((await hastctl([...options, 'completion', '--targets', 'x'])).out, '');
  const json = await hastctl([...options, '--json', 'completion', '--names']);
  assert.deepEqual(JSON.parse(json.out), { names: ['vm1', 'web'] });
  const none = await hastctl(['-c', '/nowhere', 'completion', '--names']);
  assert.deepEqual([none.status, none.out], [72, '']);
});

test('a shell must be named, and known', async () => {
  const missing = await hastctl(['completion']);
  assert.equal(missing.status, 64);
  assert.match(missing.err, /write completion bash, or zsh, or fish/);
  assert.equal((await hastctl(['completion', 'tcsh'])).status, 64);
  assert.doesNotMatch((await hastctl(['completion', '--help'])).out, /--names|--targets/);
});

test('a verb that comes later is in every script, with odd characters in its words', (t) => {
  const program = new Command('hastctl').option('-c, --config <file>', 'the: [file]');
  program
    .command('drill')
    .description("don't: a [test] \\ of $HOME; and more")
    .argument('<name...>', 'resources, or all')
    .option('--at <point>', 'a point')
    .option('--kind <kind>', 'which');
  program
    .command('pick')
    .addArgument(new Argument('<what>', 'one').choices(['x', 'y']))
    .argument('[target]', 'only this');
  program.command('secret', { hidden: true });
  const tree = completionTree(program);
  assert.deepEqual(
    tree.verbs.map(({ name, args }) => [name, args.map(({ completes }) => completes.kind)]),
    [
      ['drill', ['resources']],
      ['pick', ['words', 'targets']],
      ['help', ['nothing']],
    ],
  );
  const drill = tree.verbs[0];
  assert.deepEqual(
    drill?.options.map(({ flags }) => flags),
    [['--at'], ['--kind']],
    '-h is of every verb',
  );
  const folder = scratch(t);
  const texts = [bashScript(tree), zshScript(tree), fishScript(tree)];
  for (const text of texts) {
    for (const word of ['drill', 'at', 'kind', 'pick', 'x y']) assert.ok(text.includes(word), word);
    assert.ok(!text.includes('secret'));
    assert.ok(!text.includes('and more'), 'the first part of a description');
  }
  for (const [shell, text] of [
    ['bash', texts[0]],
    ['zsh', texts[1]],
    ['fish', texts[2]],
  ] as const) {
    const file = join(folder, shell);
    writeFileSync(file, text ?? '');
    const child = spawnSync(shell, ['-n', file], { encoding: 'utf8' });
    if (child.error === undefined) assert.equal(child.stderr, '', shell);
  }
});
