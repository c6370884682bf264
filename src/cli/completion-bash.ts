// The completion script for bash. Verbs, options and what follows them are written into the script;
// only names are asked of hastctl, which reads the configuration and no daemon. bash cuts words at
// `=` and `@`, too: `--config=x` and `vm1@42` are three words there.
import type { Completes, CompletionTree, OptionSpec } from './completion-tree.js';

export function bashScript(tree: CompletionTree): string {
  const { program, options, verbs } = tree;
  const allFlags = flagsOf(options);
  const verbCases = verbs.map(({ name, options: own, args }) => {
    const words = [...flagsOf(own), ...allFlags].join(' ');
    const places = args.map(({ completes, variadic }, i) => {
      const pattern = variadic ? '*' : String(i + 1);
      return `        ${pattern}) _hastctl_reply ${replyOf(completes)} ;;`;
    });
    const body = places.length === 0 ? [] : ['      case $place in', ...places, '      esac'];
    return [`    ${name})`, `      options="${words}"`, ...body, '      ;;'].join('\n');
  });
  const valued = [
    ...options.flatMap((option) => valueCases('*', option)),
    ...verbs.flatMap((verb) => verb.options.flatMap((option) => valueCases(verb.name, option))),
  ];
  return `${HEAD}${VALUE_HEAD}${valued.join('\n')}${VALUE_TAIL}${MAIN_HEAD}  if [[ -z $verb ]]; then
    options="${allFlags.join(' ')}"
    COMPREPLY=($(compgen -W "${verbs.map(({ name }) => name).join(' ')}" -- "$cur"))
  fi
  case $verb in
${verbCases.join('\n')}
  esac
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$cur"))
  fi
}
complete -F _hastctl ${program}
`;
}

const flagsOf = (options: readonly OptionSpec[]): string[] =>
  options.flatMap((option) => [...option.flags]);

/** Arguments of _hastctl_reply. */
function replyOf(completes: Completes): string {
  if (completes.kind === 'words') return `words ${completes.words.join(' ')}`;
  if (completes.kind === 'resources') return completes.all ? 'names all' : 'names';
  return completes.kind;
}

function valueCases(verb: string, { flags, value }: OptionSpec): string[] {
  if (value === null) return [];
  const patterns = flags.map((flag) => `${verb === '*' ? '*' : `"${verb}"`}" ${flag}"`);
  return [`    ${patterns.join('|')}) echo ${replyOf(value)} ;;`];
}

const HEAD = `# bash completion for hastctl; made by: hastctl completion bash
# To use it: source it, or keep it in a folder of completions, such as
# /usr/share/bash-completion/completions/hastctl

# Names that the configuration of this command line has.
_hastctl_ask() {
  "\${COMP_WORDS[0]}" "\${given[@]}" completion "$@" 2>/dev/null
}

# _hastctl_reply words WORD... | names [all] | targets | files | nothing
_hastctl_reply() {
  local kind=$1
  shift
  case $kind in
    words) COMPREPLY=($(compgen -W "$*" -- "$cur")) ;;
    names) COMPREPLY=($(compgen -W "$(_hastctl_ask --names) $*" -- "$cur")) ;;
    targets) COMPREPLY=($(compgen -W "$(_hastctl_ask --targets "$first")" -- "$cur")) ;;
    files) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
`;

const VALUE_HEAD = `
# What follows the option $2 of the verb $1; nothing if no value does.
_hastctl_value() {
  case "$1 $2" in
`;
const VALUE_TAIL = `
  esac
}
`;

const MAIN_HEAD = `
_hastctl() {
  local cur=\${COMP_WORDS[COMP_CWORD]} verb= first= place=0 options= i word value
  local -a given=()
  COMPREPLY=()
  [[ $cur == @ ]] && return
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    value=$(_hastctl_value "$verb" "$word")
    if [[ $word == @ ]]; then
      # vm1@42 is three words; what is behind the @ only the daemon knows.
      ((i + 1 >= COMP_CWORD)) && return
      ((i += 1))
    elif [[ \${COMP_WORDS[i + 1]} == = && $word == -* ]]; then
      # The word after it is the one that is completed: then the value of this option.
      ((i + 2 >= COMP_CWORD)) && break
      [[ $word == --config || $word == --node ]] && given+=("$word=\${COMP_WORDS[i + 2]}")
      ((i += 2))
    elif [[ -n $value ]]; then
      ((i + 1 >= COMP_CWORD)) && break
      [[ $word == -c || $word == --config || $word == --node ]] &&
        given+=("$word" "\${COMP_WORDS[i + 1]}")
      ((i += 1))
    elif [[ $word != -* ]]; then
      if [[ -z $verb ]]; then
        verb=$word
      else
        ((place += 1))
        [[ -z $first ]] && first=$word
      fi
    fi
    value=
  done
  if ((i < COMP_CWORD)); then
    [[ $cur == = ]] && cur=
    _hastctl_reply $value
    return
  fi
  ((place += 1))
`;
