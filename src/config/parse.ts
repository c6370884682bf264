// Tokens to blocks: HAST's grammar (parse.y) and target blocks. Statements are `KEYWORD VALUE`;
// blocks are `on NODE {}` at the top level or in a resource, `resource NAME {}`, and
// `target NAME {}` and `archive NAME {}` in a resource or an on block of it. Guarantee: never
// throws and reads each token a bounded number of times; after an error it goes on at the next
// statement, so that one run finds all errors. The grammar fixes nesting: too deep a block is taken
// for a missing `}`.
import { present } from '../base/assert.js';
import { Cursor, isText } from './cursor.js';
import { type Findings, shown } from './finding.js';
import type { Keyword, Scope } from './keyword.js';
import { KEYWORDS, keywordOf, scopeText } from './keywords.js';
import type { Token } from './lex.js';
import { nearest } from './nearest.js';
import { isRetainPart } from './retain.js';
import { type Block, emptyTree, type FileTree, type ResourceBlock } from './tree.js';
import { nameFault, valueFault } from './value.js';

/** HAST's two, which cannot be bare names, and ours, which can. */
const RESERVED_BLOCKS = ['resource', 'on'];
const BLOCK_WORDS = [...RESERVED_BLOCKS, 'target', 'archive'];
/** Which blocks may stand in which. */
const CHILDREN: Readonly<Record<Scope, readonly string[]>> = {
  global: RESERVED_BLOCKS,
  node: [],
  resource: ['on', 'target', 'archive'],
  'resource node': ['target', 'archive'],
  target: [],
  archive: [],
};
const SETTINGS = KEYWORDS.map((keyword) => keyword.name);

/** Parses all tokens; what is wrong is added to `findings`. */
export function parse(tokens: readonly Token[], findings: Findings): FileTree {
  return new Parser(tokens, findings).file();
}

/** True for values that can be any text: there HAST tells numbers and its words from strings. */
const isFree = (keyword: Keyword): boolean =>
  ['path', 'name', 'group', 'address'].includes(keyword.value.kind);

class Parser {
  readonly #cursor: Cursor;
  readonly #findings: Findings;
  readonly #tree = emptyTree();
  /** The last unknown word, and the last block that cannot stand where it is: what is left for
   * its parent's sake is met again there. */
  #unknownToken: Token | null = null;
  #leftToken: Token | null = null;

  constructor(tokens: readonly Token[], findings: Findings) {
    this.#cursor = new Cursor(tokens);
    this.#findings = findings;
  }

  file(): FileTree {
    this.#items(this.#tree.global, null);
    return this.#tree;
  }

  /** Statements of one block up to and with its `}`. `open` is its `{`, null at the top level. */
  #items(block: Block, open: Token | null): void {
    for (;;) {
      const token = this.#cursor.peek();
      if (token.kind === 'end') {
        if (open !== null) {
          const place = `the { of line ${open.line}`;
          this.#findings.error(token, 'file', `${place} is not closed; write the missing }`);
        }
        return;
      }
      if (token.kind === '}') {
        this.#cursor.step();
        if (open !== null) return;
        this.#findings.error(token, 'file', '} closes nothing; remove it, or write the missing {');
      } else if (this.#item(token, block) === 'leave') return;
    }
  }

  /** One statement or block. `leave`: the block is over although its `}` is missing. */
  #item(token: Token, block: Block): 'next' | 'leave' {
    const word = token.kind === 'word' ? token.text : null;
    if (word === null) {
      this.#misplaced(token);
      return 'next';
    }
    if (BLOCK_WORDS.includes(word)) return this.#block(word, token, block);
    const keyword = keywordOf(word);
    if (keyword !== null) {
      this.#setting(keyword, token, block);
      return 'next';
    }
    return this.#unknown(token, block);
  }

  /** Anything but a word where a statement begins. */
  #misplaced(token: Token): void {
    const what = token.kind === '{' ? '{ opens nothing' : `${shown(token.text)} is a value`;
    this.#findings.error(token, 'file', `${what}; a setting or block must stand here`);
    if (token.kind === '{') this.#cursor.skipBraces();
    else this.#cursor.step();
  }

  /**
   * A block from its word to its `}`. One that cannot stand here is left for the parent block, as
   * if the `}` above it were there: so one missing brace is one error.
   */
  #block(word: string, token: Token, parent: Block): 'next' | 'leave' {
    if (!CHILDREN[parent.scope].includes(word)) return this.#misplacedBlock(word, token, parent);
    this.#cursor.step();
    const name = this.#blockName(word, token);
    const open = this.#cursor.peek();
    if (open.kind !== '{') {
      this.#findings.error(token, word, `no { follows; write ${word} ${name || 'NAME'} { ... }`);
      return 'next';
    }
    this.#cursor.step();
    this.#items(this.#newBlock(word, name, token, parent), open);
    return 'next';
  }

  #misplacedBlock(word: string, token: Token, parent: Block): 'next' | 'leave' {
    const isTarget = word === 'target' || word === 'archive';
    if (isTarget && (parent.scope === 'global' || parent.scope === 'node')) {
      const text = `cannot stand ${scopeText([parent.scope])}; move it into a resource`;
      this.#findings.error(token, word, text);
      this.#cursor.skipBlock();
      return 'next';
    }
    if (this.#leftToken !== token) {
      const text = `cannot stand ${scopeText([parent.scope])}; is a } missing above?`;
      this.#findings.error(token, word, text);
    }
    this.#leftToken = token;
    return 'leave';
  }

  /** Reads the name before the `{`; empty when there is none. */
  #blockName(word: string, token: Token): string {
    const name = this.#cursor.peek();
    if (!isText(name)) {
      this.#findings.error(token, word, `the name is missing; write ${word} NAME { ... }`);
      return '';
    }
    this.#cursor.step();
    const fault = this.#bareFault(name) ?? nameFault(name.text);
    const reserved = word === 'resource' && name.text === 'all';
    if (fault !== null) this.#findings.error(name, word, fault);
    else if (reserved) {
      const why = 'all stands for every resource in commands';
      this.#findings.error(name, word, `${why}; give this one another name`);
    }
    return name.text;
  }

  /** Enters the block in the tree at once: what is in it counts even if its `}` is missing. */
  #newBlock(word: string, name: string, token: Token, parent: Block): Block {
    const { line, column } = token;
    const common = { name, place: { line, column }, statements: [], targets: [] };
    if (word === 'resource') {
      const block: ResourceBlock = { scope: 'resource', ...common, nodes: [] };
      this.#tree.resources.push(block);
      return block;
    }
    if (word === 'target' || word === 'archive') {
      const block: Block = { scope: word, ...common };
      parent.targets.push(block);
      return block;
    }
    const scope: Scope = parent.scope === 'resource' ? 'resource node' : 'node';
    const block: Block = { scope, ...common };
    const resource = this.#tree.resources.at(-1);
    if (scope === 'node') this.#tree.nodes.push(block);
    else present(resource, 'the resource around it is the last one').nodes.push(block);
    return block;
  }

  /** `KEYWORD VALUE`. A statement without a usable value is kept as set to nothing. */
  #setting(keyword: Keyword, token: Token, block: Block): void {
    const { name } = keyword;
    this.#cursor.step();
    const value = this.#cursor.peek();
    if (!this.#isValue(keyword, value, token.line)) {
      const quote = isText(value) && isFree(keyword) ? `, or "${value.text}" if that is meant` : '';
      const example = keyword.additive ? 'VALUE' : (keyword.default ?? 'VALUE');
      this.#findings.error(token, name, `the value is missing; write ${name} ${example}${quote}`);
      block.statements.push({ keyword, text: null, place: token, valuePlace: token });
      return;
    }
    this.#cursor.step();
    const given = this.#wholeText(keyword, value);
    if (!keyword.scopes.includes(block.scope)) {
      const where = `cannot stand ${scopeText([block.scope])}`;
      this.#findings.error(token, name, `${where}; move it to stand ${scopeText(keyword.scopes)}`);
      return;
    }
    const fault = this.#wordFault(keyword, value) ?? valueFault(keyword, given);
    if (fault !== null) this.#findings.error(value, name, fault);
    const note = keyword.notes?.[given] ?? keyword.notes?.['*'];
    if (fault === null && note !== undefined) this.#findings.note(token, name, note);
    const text = fault === null ? given : null;
    block.statements.push({ keyword, text, place: token, valuePlace: value });
  }

  /** The text of a value: of a rule all pairs of a word and a number that follow. */
  #wholeText(keyword: Keyword, value: Token): string {
    if (keyword.value.kind !== 'retain' || !isRetainPart(value.text)) return value.text;
    const words: string[] = [value.text];
    for (let next = this.#cursor.peek(); isText(next); next = this.#cursor.peek()) {
      if (next.kind !== 'number' && !isRetainPart(next.text)) break;
      words.push(next.text);
      this.#cursor.step();
    }
    return words.join(' ');
  }

  /** A word of the language is no value unless the setting knows it: then the value is missing. */
  #isValue(keyword: Keyword, value: Token, line: number): boolean {
    if (!isText(value)) return false;
    if (value.kind !== 'word') return true;
    if (BLOCK_WORDS.includes(value.text) && this.#cursor.opensBlock()) return false;
    const kind = keyword.value;
    if (kind.kind === 'word' && kind.words.includes(value.text)) return true;
    // HAST reserves its words everywhere; the new ones must not break files that use them as names.
    const known = keywordOf(value.text);
    const reserved = known?.hast === true || RESERVED_BLOCKS.includes(value.text);
    return !reserved && (known === null || value.line === line);
  }

  #wordFault(keyword: Keyword, value: Token): string | null {
    return isFree(keyword) ? this.#bareFault(value) : null;
  }

  /** What only quotes make a string: digits, which are a number, and HAST's own words. */
  #bareFault(value: Token): string | null {
    if (value.kind === 'number') {
      return `digits alone are a number and not a name or path; write "${shown(value.text)}"`;
    }
    const known = keywordOf(value.text)?.hast === true || RESERVED_BLOCKS.includes(value.text);
    if (value.kind !== 'word' || !known) return null;
    return `${value.text} is a word of this file; in quotes, "${value.text}", it is a name`;
  }

  /**
   * A word that is not known. If it looks like a mistyped block it is read as that block; else what
   * belongs to it is skipped.
   */
  #unknown(token: Token, block: Block): 'next' | 'leave' {
    const opens = this.#cursor.opensBlock();
    const inScope = KEYWORDS.filter((keyword) => keyword.scopes.includes(block.scope));
    const settings = [...inScope, ...KEYWORDS].map((keyword) => keyword.name);
    const guess = nearest(token.text, opens ? BLOCK_WORDS : [...settings, ...BLOCK_WORDS]);
    if (this.#unknownToken !== token) {
      const what = `is not a ${opens ? 'block' : 'setting'}`;
      const hint = guess === null ? 'see hast.conf(5)' : `did you mean ${guess}?`;
      this.#findings.error(token, shown(token.text), `${what}; ${hint}`);
    }
    this.#unknownToken = token;
    if (opens && guess !== null) return this.#block(guess, token, block);
    if (opens) {
      this.#cursor.skipBlock();
      return 'next';
    }
    this.#cursor.step();
    this.#skipValue(token.line);
    // Taken for the setting that was meant, so that it is not reported as missing, too.
    const keyword = guess === null ? null : keywordOf(guess);
    if (keyword?.scopes.includes(block.scope)) {
      block.statements.push({ keyword, text: null, place: token, valuePlace: token });
    }
    return 'next';
  }

  /** Skips what stands behind an unknown word: values on its line up to what may be a setting. */
  #skipValue(line: number): void {
    for (let first = true; ; first = false) {
      const value = this.#cursor.peek();
      if (!isText(value) || value.line !== line) return;
      const isWord = value.kind === 'word';
      const opens = this.#cursor.opensBlock();
      if (isWord && BLOCK_WORDS.includes(value.text) && opens) return;
      if (isWord && RESERVED_BLOCKS.includes(value.text) && !first) return;
      if (isWord && keywordOf(value.text) !== null) return;
      if (isWord && !first && nearest(value.text, SETTINGS) !== null) return;
      this.#cursor.step();
    }
  }
}
