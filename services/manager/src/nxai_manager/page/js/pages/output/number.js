// A number of the settings: saved when it is left, with its error beside it.
import { Field } from "../../components/field.js";
import { bounds } from "../../settings_document.js";
import { html, useEffect, useState } from "../../view.js";

/** {whole, part, name: of the schema, value, onSave(number) -> Promise, ...as Field} */
export function NumberSetting({ whole, part, name, value, onSave, ...rest }) {
  const [typed, setTyped] = useState(value);
  const [error, setError] = useState(null);
  useEffect(() => setTyped(value), [value]);
  async function commit(wanted) {
    if (wanted === null || wanted === value) {
      setTyped(value);
      setError(null);
      return;
    }
    try {
      await onSave(wanted);
      setError(null);
    } catch (reason) {
      setError(reason.problems?.[0]?.reason ?? reason.detail ?? String(reason));
    }
  }
  return html`<${Field}
    type="number"
    ...${bounds(whole, part, name)}
    step="any"
    value=${typed}
    onInput=${setTyped}
    onCommit=${commit}
    error=${error}
    ...${rest}
  />`;
}
