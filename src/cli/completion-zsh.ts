// The completion script for zsh: _arguments of its completion system, once for the options before
// the verb and once for each verb. Names are asked of hastctl, which reads the configuration and no
// daemon.
import {
  type ArgumentSpec,
  type Completes,
  type CompletionTree,
  type OptionSpec,
  quoted,
} from './completion-tree.js';

export function zshScript(tree: CompletionTree): string {
  const { program, options, verbs } = tree;
  const described = verbs.map(({ name, description }) => quoted(`${name}:${plain(description)}`));
  const cases = verbs.map(({ name, options: own, args }) => {
    const specs = [...options, ...own].map(optionText);
    const places = args.map((argument, i) => argumentText(argument, i + 1));
    return `    ${name})\n      _arguments -s -S ${[...specs, ...places].join(' \\\n        ')} ;;`;
  });
  return `#compdef ${program}
${HEAD}
_hastctl_verbs() {
  local -a verbs
  verbs=(
    ${described.join('\n    ')}
  )
  _describe -t commands verb verbs
}

_hastctl() {
  local curcontext="$curcontext" state
  local -a line words_before
  local -A opt_args
  words_before=($words)
  _arguments -C -s -S ${options.map(optionText).join(' \\\n    ')} \\
    '1: :_hastctl_verbs' '*:: :->rest' && return
  [[ $state == rest ]] || return 1
  case $words[1] in
${cases.join('\n')}
  esac
}

if [[ $funcstack[1] == _hastctl ]]; then
  _hastctl "$@"
else
  compdef _hastctl ${program}
fi
`;
}

/** Colons, brackets and backslashes mean something in a specification. */
const plain = (text: string): string => text.replaceAll(/[\\[\]:]/g, '\\$&');

/** `'(-c --config)'{-c,--config}'[text]:file:_files'`. */
function optionText({ flags, description, value }: OptionSpec): string {
  const action = value === null ? '' : `:value:${actionOf(value)}`;
  // A long option takes its value also behind `=`.
  const names = flags.map((flag) => (value !== null && flag.startsWith('--') ? `${flag}=` : flag));
  const text = `[${plain(description)}]${action}`;
  if (names.length === 1) return quoted(`${names[0]}${text}`);
  return `${quoted(`(${flags.join(' ')})`)}{${names.join(',')}}${quoted(text)}`;
}

const argumentText = ({ name, completes, variadic }: ArgumentSpec, place: number): string =>
  quoted(
    `${variadic ? '*' : `${place}:`}:${plain(name)}:${actionOf(completes)}`.replace('::', ':'),
  );

function actionOf(completes: Completes): string {
  switch (completes.kind) {
    case 'words':
      return `(${completes.words.join(' ')})`;
    case 'resources':
      return completes.all ? '_hastctl_names all' : '_hastctl_names';
    case 'targets':
      return '_hastctl_targets';
    case 'files':
      return '_files';
    case 'nothing':
      return ' ';
  }
}

const HEAD = `# zsh completion for hastctl; made by: hastctl completion zsh
# To use it: keep it as _hastctl in a folder of $fpath, or source it after compinit.

# Names that the configuration of this command line has.
_hastctl_ask() {
  local -i i
  local -a given
  for ((i = 2; i < $#words_before; i++)); do
    case $words_before[i] in
      -c|--config|--node) given+=($words_before[i] $words_before[i+1]) ;;
      --config=*|--node=*) given+=($words_before[i]) ;;
    esac
  done
  $words_before[1] $given completion "$@" 2>/dev/null
}

_hastctl_names() {
  local -a names
  # What _arguments adds stands before our own word.
  names=(\${(f)"$(_hastctl_ask --names)"})
  [[ $@[-1] == all ]] && names+=(all)
  compadd -a names
}

_hastctl_targets() {
  local -a names
  names=(\${(f)"$(_hastctl_ask --targets "$line[1]")"})
  compadd -a names
}
`;
