// What a shell completes on hastctl's command line, read from commander's own description of it: so
// every new verb and option is completed without a word here. Pure.
// What an argument may be follows from its choices, else from its name: `name` is a resource,
// `point` begins with one,
// `target` one of its targets, `path` and `file` are files; a description that is only a list of
// words (`init, primary, secondary`) lists the words.
import type { Argument, Command, Option } from 'commander';

export type Completes =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'resources'; readonly all: boolean }
  /** Of the resource that is the first argument. */
  | { readonly kind: 'targets' }
  | { readonly kind: 'files' }
  | { readonly kind: 'nothing' };

export interface OptionSpec {
  /** As written: `-c`, `--config`; at least one. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Null: no value follows as a word of its own. */
  readonly value: Completes | null;
}

export interface ArgumentSpec {
  readonly name: string;
  readonly completes: Completes;
  /** It takes every further word, too. */
  readonly variadic: boolean;
}

export interface VerbSpec {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionSpec[];
  readonly args: readonly ArgumentSpec[];
}

export interface CompletionTree {
  readonly program: string;
  /** Before and after the verb. */
  readonly options: readonly OptionSpec[];
  readonly verbs: readonly VerbSpec[];
}

/** Hidden commands and options are left out. */
export function completionTree(program: Command): CompletionTree {
  const help = program.createHelp();
  const options = help.visibleOptions(program).map(optionSpec);
  const global = new Set(options.flatMap((option) => option.flags));
  const verbs = help.visibleCommands(program).map((verb) => ({
    name: verb.name(),
    description: firstPart(verb.description()),
    options: help
      .visibleOptions(verb)
      .map(optionSpec)
      .filter(({ flags }) => !flags.some((flag) => global.has(flag))),
    args: verb.registeredArguments.map(argumentSpec),
  }));
  return { program: program.name(), options, verbs };
}

function optionSpec(option: Option): OptionSpec {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined);
  const [, name = ''] = /<([^>.]+)/.exec(option.flags) ?? [];
  // The name of an option's value is its kind, but for these, which may be anything's.
  const kind = name === 'name' || name === 'point' ? '' : name;
  const value = completesOf(kind, option.argChoices, '');
  const description = firstPart(option.description);
  return { flags, description, value: option.required ? value : null };
}

function argumentSpec(argument: Argument): ArgumentSpec {
  const { argChoices, description, variadic } = argument;
  const name = argument.name();
  return { name, completes: completesOf(name, argChoices, description), variadic };
}

const WORD_LIST = /^[a-z-]+(, [a-z-]+)*$/;

function completesOf(
  name: string,
  choices: readonly string[] | undefined,
  description: string,
): Completes {
  if (choices !== undefined) return { kind: 'words', words: choices };
  if (name === 'name' || name === 'resource' || name === 'point') {
    return { kind: 'resources', all: /\ball\b/.test(description) };
  }
  if (name === 'target') return { kind: 'targets' };
  if (name === 'path' || name === 'file') return { kind: 'files' };
  if (WORD_LIST.test(description)) return { kind: 'words', words: description.split(', ') };
  return { kind: 'nothing' };
}

/** Up to a semicolon: what follows it is for the page. */
const firstPart = (text: string): string => text.split(';')[0]?.trim() ?? '';

/** Texts in single quotes of a POSIX shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
