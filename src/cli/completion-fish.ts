// The completion script for fish: one `complete` line for each verb, option and argument, and a few
// functions that look at the command line. Names are asked of hastctl, which reads the
// configuration and no daemon.
import type { Completes, CompletionTree, OptionSpec } from './completion-tree.js';

export function fishScript(tree: CompletionTree): string {
  const { program, options, verbs } = tree;
  const start = `complete -c ${program}`;
  const lines = [
    `${start} -f`,
    ...options.map((option) => `${start} ${optionText(option)}`),
    ...verbs.map(
      ({ name, description }) =>
        `${start} -n '__hastctl_at "" 1' -a ${name} -d ${quoted(description)}`,
    ),
    ...verbs.flatMap((verb) => [
      ...verb.options.map(
        (option) => `${start} -n '__hastctl_after ${verb.name}' ${optionText(option)}`,
      ),
      ...verb.args.flatMap(({ completes, variadic }, i) => {
        const where = `__hastctl_at ${verb.name} ${i + 1}${variadic ? ' more' : ''}`;
        const text = completesText(completes);
        return text === null ? [] : [`${start} -n '${where}' ${text}`];
      }),
    ]),
  ];
  return `${HEAD.replace('VALUED', valued(tree).map(quoted).join(' '))}${lines.join('\n')}\n`;
}

/** `VERB FLAG` of all options with a value; those of every verb begin with a blank. */
function valued({ options, verbs }: CompletionTree): string[] {
  const of = (verb: string, list: readonly OptionSpec[]): string[] =>
    list
      .filter(({ value }) => value !== null)
      .flatMap(({ flags }) => flags.map((flag) => `${verb} ${flag}`));
  return [...of('', options), ...verbs.flatMap((verb) => of(verb.name, verb.options))];
}

/** In fish's single quotes only these two are special. */
const quoted = (text: string): string => `'${text.replaceAll(/[\\']/g, '\\$&')}'`;

function optionText({ flags, description, value }: OptionSpec): string {
  const names = flags.map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  );
  const files = value?.kind === 'files' ? '-r' : '-x';
  const follows = value === null ? [] : [files, completesText(value) ?? ''].filter(Boolean);
  return [...names, ...follows, '-d', quoted(description)].join(' ');
}

/** Null: nothing is offered. */
function completesText(completes: Completes): string | null {
  switch (completes.kind) {
    case 'words':
      return `-a ${quoted(completes.words.join(' '))}`;
    case 'resources':
      return `-a '(__hastctl_ask --names)${completes.all ? ' all' : ''}'`;
    case 'targets':
      return `-a '(__hastctl_targets)'`;
    case 'files':
      return '-F';
    case 'nothing':
      return null;
  }
}

const HEAD = `# fish completion for hastctl; made by: hastctl completion fish
# To use it: keep it as hastctl.fish in a folder of completions, such as
# ~/.config/fish/completions

# The words before the one that is completed: the verb, then its arguments; __hastctl_given gets the
# options that say which configuration is meant.
function __hastctl_walk
    set -l valued VALUED
    set -l words (commandline -opc)
    set -g __hastctl_given
    set -l found
    set -l i 2
    while test $i -le (count $words)
        set -l word $words[$i]
        set -l verb ""
        test (count $found) -gt 0; and set verb $found[1]
        if string match -q -r '^--(config|node)=' -- $word
            set -a __hastctl_given $word
        else if contains -- " $word" $valued; or contains -- "$verb $word" $valued
            if contains -- $word -c --config --node
                set -a __hastctl_given $word $words[(math $i + 1)]
            end
            set i (math $i + 1)
        else if not string match -q -- '-*' $word
            set -a found $word
        end
        set i (math $i + 1)
    end
    for word in $found
        echo $word
    end
end

# True after the verb.
function __hastctl_after
    set -l found (__hastctl_walk)
    test (count $found) -gt 0; and test $found[1] = $argv[1]
end

# True where argument $argv[2] of the verb stands, or a later one; without a verb, the verb itself.
function __hastctl_at
    set -l found (__hastctl_walk)
    set -l place (count $found)
    if test -z $argv[1]
        test $place -eq 0
        return
    end
    test $place -gt 0; and test $found[1] = $argv[1]; or return 1
    test $place -eq $argv[2]; and return
    test "$argv[3]" = more; and test $place -gt $argv[2]
end

function __hastctl_ask
    __hastctl_walk >/dev/null
    set -l words (commandline -opc)
    $words[1] $__hastctl_given completion $argv 2>/dev/null
end

function __hastctl_targets
    set -l found (__hastctl_walk)
    test (count $found) -gt 1; and __hastctl_ask --targets $found[2]
end

`;
