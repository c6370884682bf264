#!/usr/bin/env node
// hastd(8): entry point. CommonJS on purpose: loading an ES module already uses the thread pool,
// and its size must be in the environment before the first use (H19, one pool per process).
process.env['UV_THREADPOOL_SIZE'] ??= '16';
void import('./daemon/main.js').then(({ main }) => main(process.argv.slice(2)));
