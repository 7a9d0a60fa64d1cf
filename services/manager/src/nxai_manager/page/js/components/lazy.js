import { html, useEffect, useState } from "../view.js";
import { showError } from "./toast.js";

/**
 * A component that is loaded when it is first shown: lazy(() => import("./editor.js"), "Editor"). Where it cannot be
 * loaded, the reason is shown and its onClose() called.
 */
export function lazy(load, name) {
  let View = null;
  return function Lazy(properties) {
    const [, again] = useState(0);
    useEffect(() => {
      if (View) return;
      load().then(
        (module) => {
          View = module[name];
          again((n) => n + 1);
        },
        (error) => {
          showError(error);
          properties.onClose?.();
        },
      );
    }, []);
    return View && html`<${View} ...${properties} />`;
  };
}
