// A thread of threads.test.ts that dies a moment after its first task, while it has none.
let tasks = 0;

export default (): number => {
  tasks += 1;
  setTimeout(() => {
    throw new TypeError('this thread dies');
  }, 20);
  return tasks;
};
