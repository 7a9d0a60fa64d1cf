// Starting and stopping: the box, or one camera.
import { path, put } from "../../api.js";
import { confirm } from "../../components/dialog.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { cameras, can, run } from "../../store.js";

export const whyNot = () => (can("operate") ? null : t("Viewers cannot start or stop cameras."));

/** Start or stop the whole box; asks before it stops. */
export async function runBox(running) {
  const sure =
    running ||
    (await confirm({
      title: t("Stop all cameras?"),
      text: t("No camera is looked at and nothing is sent until somebody starts it again."),
      action: t("Stop"),
    }));
  if (!sure) return;
  await put("run", { running });
  await Promise.all([run.load(), cameras.load()]);
  toast(running ? t("Started.") : t("Stopped."));
}

/** Start or stop one camera: it stays open for its picture, but no model looks at it. */
export async function runCamera({ id, name }, running) {
  await put(path`cameras/${id}/run`, { running });
  await cameras.load();
  toast(
    running
      ? t("{camera}: models look at it again.", { camera: name })
      : t("{camera}: no model looks at it now.", { camera: name }),
    { action: running ? undefined : { label: t("Undo"), onClick: () => runCamera({ id, name }, true) } },
  );
}
