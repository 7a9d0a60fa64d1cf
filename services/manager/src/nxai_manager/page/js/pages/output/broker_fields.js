// Fields that destinations share with the broker of Home Assistant: {item, change(fields), errors(field)}.
import { Field, Select } from "../../components/field.js";
import { t } from "../../i18n.js";
import { html } from "../../view.js";

/** Of a field whose text is no prose. */
export const CODE = { code: true, autocapitalize: "off", autocomplete: "off", spellcheck: false };

/** One line of text of the item: {name, ...as Field} */
export const Text = ({ name, item, change, errors, whole, part, draft, set, cameras, ...rest }) =>
  html`<${Field} value=${item[name]} onInput=${(text) => change({ [name]: text })} error=${errors(name)} ...${rest} />`;

export const Certificate = ({ item, change, errors }) => html`<${Select}
  label=${t("Its certificate")}
  value=${item.certificate}
  onInput=${(certificate) => change({ certificate })}
  error=${errors("certificate")}
  options=${[
    { value: "verify", label: t("Must be valid") },
    { value: "any", label: t("Take any: nobody checks who answers") },
  ]}
/>`;

export const Authority = (shared) => html`<${Text} ...${shared} name="authority" label=${t("Certificate of its authority")} optional ...${CODE} placeholder="/certificates/plant.pem" help=${t("A file (PEM) on the box, where the system does not know who signed the broker's.")} />`;
