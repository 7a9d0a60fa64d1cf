// Light, dark, or as the system says; kept in this browser.
import { signal } from "./view.js";

const KEY = "nxai.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** "auto", "light" or "dark": what the person chose. */
export const theme = signal(["light", "dark"].includes(localStorage.getItem(KEY)) ? localStorage.getItem(KEY) : "auto");

/** True while dark colours are shown. Canvases that draw with colours of the page read it. */
export const dark = signal(false);

export function setTheme(choice) {
  theme.value = choice;
  if (choice === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, choice);
  apply();
}

function apply() {
  const root = document.documentElement;
  if (theme.value === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
  dark.value = theme.value === "auto" ? system.matches : theme.value === "dark";
  document.querySelector('meta[name="theme-color"]')?.setAttribute("content", "#17222c");
}

system.addEventListener("change", apply);
addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  theme.value = event.newValue ?? "auto";
  apply();
});
apply();

let probe = null;

/** Value of a colour token as rgb(), in the theme that is shown: colour("--box-3"). */
export function colour(token, inside = document.body) {
  probe ??= Object.assign(document.createElement("span"), { hidden: true });
  inside.append(probe);
  probe.style.color = `var(${token})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
