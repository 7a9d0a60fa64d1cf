// Which colour an object has: the same label of a model the same everywhere, in tile, list and editor.

const BOXES = 12;

/** Token of the nth label: "--box-3". */
export const boxToken = (index) => `--box-${(((index % BOXES) + BOXES) % BOXES) + 1}`;

/** Index of a label among the labels of its model; of one that it does not have, some fixed number. */
export function labelIndex(label, labels = []) {
  const index = labels.indexOf(label);
  if (index !== -1) return index;
  let sum = 0;
  for (const letter of label) sum = (sum * 31 + letter.codePointAt(0)) % 997;
  return sum;
}

export const labelToken = (label, labels) => boxToken(labelIndex(label, labels));
