// Shows the page of the address: loads it when it is first wanted, puts the focus on its heading,
// and says what is wrong when it cannot be shown.
import { Button } from "./components/button.js";
import { EmptyState, ErrorNote, Skeleton } from "./components/panels.js";
import { loadTexts, t } from "./i18n.js";
import { restoreScroll, route, to } from "./router.js";
import { useTitle } from "./title.js";
import { Component, html, useEffect, useRef, useState } from "./view.js";

/** page: its tab's title and icon, its module, of which part its styles and texts are (its own), whose texts it uses. */
export const PAGES = {
  model: { title: () => t("Model"), icon: "brain-circuit", load: () => import("./pages/model.js") },
  input: {
    title: () => t("Input"),
    icon: "cctv",
    load: () => import("./pages/input.js"),
    borrows: ["model", "settings"],
  },
  output: { title: () => t("Output"), icon: "send", load: () => import("./pages/output.js") },
  run: { title: () => t("Run"), icon: "play", load: () => import("./pages/run.js") },
  data: { title: () => t("Data"), icon: "chart-line", load: () => import("./pages/data.js") },
  settings: { title: () => t("Settings"), icon: "settings", load: () => import("./pages/settings.js") },
  start: { title: () => t("Getting started"), icon: "rocket", load: () => import("./pages/start.js"), part: "setup" },
  reference: { title: () => t("API reference"), icon: "book-open", load: () => import("./pages/reference.js") },
};

const sheets = new Map();

/** Load css/pages/<name>.css, once. A page without its colours is better than none: never fails. */
export function loadStyles(name) {
  if (!sheets.has(name)) {
    sheets.set(
      name,
      new Promise((resolve) => {
        const link = document.createElement("link");
        link.rel = "stylesheet";
        link.href = new URL(`../css/pages/${name}.css`, import.meta.url).href;
        link.onload = link.onerror = resolve;
        document.head.append(link);
      }),
    );
  }
  return sheets.get(name);
}

const modules = new Map();

async function load(name) {
  const page = PAGES[name];
  const { part = name, borrows = [] } = page;
  const [module] = await Promise.all([page.load(), loadStyles(part), ...[...borrows, part].map(loadTexts)]);
  modules.set(name, module.default);
}

export function Outlet() {
  const { page, path, query } = route.value;
  const [, again] = useState(0);
  const [error, setError] = useState(null);
  const first = useRef(true);
  const known = page in PAGES;
  const View = modules.get(page);
  useTitle(known ? PAGES[page].title() : t("Page not found"));

  const fetchPage = () => {
    setError(null);
    if (!known || modules.has(page)) return;
    load(page).then(
      () => again((n) => n + 1),
      (reason) => setError(reason),
    );
  };
  useEffect(fetchPage, [page]);

  useEffect(() => {
    if (!View && known) return;
    restoreScroll();
    if (first.current) first.current = false;
    else focusHeading();
  }, [page, Boolean(View)]);

  if (!known) return html`<${NotFound} />`;
  if (error) {
    return html`<div class="page">
      <${ErrorNote} title=${t("This page could not be loaded")} error=${error} onRetry=${() => location.reload()} />
    </div>`;
  }
  if (!View) {
    return html`<div class="page"><${Skeleton} lines=${1} class="skeleton--title" /><${Skeleton} kind="cards" /></div>`;
  }
  return html`<${Boundary} key=${page} page=${page}><${View} path=${path} query=${query} /><//>`;
}

function focusHeading() {
  const heading = document.querySelector("main h1") ?? document.getElementById("main");
  heading.setAttribute("tabindex", "-1");
  heading.focus({ preventScroll: true });
}

/** A page that fails shows why, not an empty window. */
class Boundary extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ error });
  }

  render({ children }, { error }) {
    if (!error) return children;
    return html`<div class="page">
      <${ErrorNote}
        title=${t("A mistake in this page. The box itself goes on as before.")}
        error=${error}
        onRetry=${() => this.setState({ error: null })}
      />
    </div>`;
  }
}

const NotFound = () => html`<div class="page">
  <h1 class="unseen">${t("Page not found")}</h1>
  <${EmptyState}
    icon="search"
    title=${t("There is no page at this address")}
    action=${html`<${Button} kind="primary" href=${to("run")}>${t("To the live view")}<//>`}
  >
    ${t("The link may be old, or mistyped: {address}", { address: route.value.hash })}
  <//>
</div>`;
