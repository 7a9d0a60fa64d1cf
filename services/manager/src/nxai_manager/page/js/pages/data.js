// Data: what was counted over time, each result, and the pictures that were kept for retraining.
import { Tabs } from "../components/tabs.js";
import { t } from "../i18n.js";
import { useListen } from "../live.js";
import { to } from "../router.js";
import { cameras, models } from "../store.js";
import { html, useEffect } from "../view.js";
import { Figures } from "./data/figures.js";
import { Gallery } from "./data/gallery.js";
import { counts } from "./data/pictures.js";
import { Review } from "./data/review.js";
import { UploadButton } from "./data/upload.js";
import { Uploads } from "./data/uploads.js";

export default function Data({ path: [view = "", id], query }) {
  useListen("models", "progress");
  useEffect(() => {
    cameras.load();
    models.load();
    counts.load();
  }, []);
  if (view === "samples" && id) return html`<${Review} id=${id} query=${query} />`;
  const fresh = counts.data.value?.by_state.new;
  return html`<div class="page page--wide data">
    <header class="page__head">
      <h1>${t("Data")}</h1>
      ${view !== "" && html`<${UploadButton} />`}
    </header>
    <${Tabs}
      label=${t("Views of the data")}
      value=${view}
      tabs=${[
        { id: "", label: t("Charts"), icon: "chart-line", href: to("data") },
        { id: "samples", label: t("Pictures"), icon: "images", href: to("data", "samples"), count: fresh || null },
        { id: "uploads", label: t("Uploads"), icon: "upload", href: to("data", "uploads") },
      ]}
    />
    ${view === "samples" ? html`<${Gallery} query=${query} />` : view === "uploads" ? html`<${Uploads} />` : html`<${Figures} query=${query} />`}
  </div>`;
}
