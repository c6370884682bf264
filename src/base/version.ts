// Version of the program, from the package it was installed with.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { present } from './assert.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGE = join(HERE, '..', '..', '..', 'package.json');

const { version }: { readonly version?: string } = JSON.parse(readFileSync(PACKAGE, 'utf8'));

export const VERSION = present(version, `${PACKAGE} has a version`);
