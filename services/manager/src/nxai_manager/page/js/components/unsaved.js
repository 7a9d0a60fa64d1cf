import { t } from "../i18n.js";
import { guardLeaving } from "../router.js";
import { useLayoutEffect } from "../view.js";
import { confirm } from "./dialog.js";

/** While `dirty`, leaving the place asks first; not a frame longer, for a person who saves and goes on at once. */
export function useUnsaved(dirty) {
  useLayoutEffect(() => (dirty ? guardLeaving(ask) : undefined), [dirty]);
}

const ask = () =>
  confirm({
    title: t("Leave without saving?"),
    text: t("What was changed here is lost."),
    action: t("Leave"),
    cancel: t("Stay"),
  });
