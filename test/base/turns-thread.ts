// A thread of threads.test.ts: how often its event loop has turned since its first task.
let turns = 0;

function turned(): void {
  turns += 1;
  setImmediate(turned).unref();
}

setImmediate(turned).unref();

export default (): number => turns;
