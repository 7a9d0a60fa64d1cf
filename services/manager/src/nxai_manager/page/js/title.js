// The title of the browser's tab.
import { deviceName } from "./store.js";
import { useEffect } from "./view.js";

/** The title of the browser's tab; the page's own, or of what it shows: useTitle(camera.name). */
export function useTitle(text) {
  useEffect(() => {
    document.title = text ? `${text} · ${deviceName.value}` : deviceName.value;
  }, [text, deviceName.value]);
}
