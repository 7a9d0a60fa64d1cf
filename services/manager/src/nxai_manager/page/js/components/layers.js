// Modal windows that are open, the top one last: what lies below it can neither be seen well nor used.
import { signal } from "../view.js";

export const layers = signal([]);

/** A dialog element is open from now on; returns how to end it. */
export function layer(element) {
  layers.value = [...layers.value, element];
  return () => {
    layers.value = layers.value.filter((one) => one !== element);
  };
}
