// A promise that does not hold: what a simulated run ends with.
export class Broken extends Error {
  override readonly name = 'Broken';
}
