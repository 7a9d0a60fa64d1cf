// Who may come in: users, and tokens for scripts.
import { get, patch, path as where, post, remove } from "../../api.js";
import { Button } from "../../components/button.js";
import { confirm, Dialog } from "../../components/dialog.js";
import { Checkbox, Field, Radios, Select } from "../../components/field.js";
import { Badge, Card, Copyable, EmptyState, ErrorNote, Note, Skeleton, When } from "../../components/panels.js";
import { Table } from "../../components/table.js";
import { toast } from "../../components/toast.js";
import { t } from "../../i18n.js";
import { can, session } from "../../store.js";
import { html, useEffect, useState } from "../../view.js";

const ROLES = {
  viewer: [() => t("Viewer"), () => t("Sees everything, changes nothing.")],
  operator: [() => t("Operator"), () => t("Runs and stops, tests, reviews and uploads pictures, rolls models back.")],
  admin: [() => t("Administrator"), () => t("May do everything.")],
};
const SCOPES = {
  read: () => t("See everything but secrets"),
  operate: () => t("Run and stop, test, review, upload, roll back"),
  configure: () => t("Settings, cameras, models, logs"),
  accounts: () => t("Users and tokens"),
};

export function Accounts() {
  return html`<div class="stack">
    ${can("accounts") && html`<${Users} />`}
    <${Tokens} />
  </div>`;
}

function useList(address, name) {
  const [told, setTold] = useState(null);
  const [error, setError] = useState(null);
  const load = () =>
    get(address).then(
      (answer) => {
        setTold(answer[name]);
        setError(null);
      },
      setError,
    );
  useEffect(() => {
    load();
  }, []);
  return [told, load, error];
}

function Users() {
  const [users, load, error] = useList("users", "users");
  const [open, setOpen] = useState(null);

  async function drop(user) {
    const yes = await confirm({
      title: t("Delete user {name}?", { name: user.name }),
      text: t("Sessions and tokens of this user end at once."),
      action: t("Delete"),
    });
    if (!yes) return;
    await remove(where`users/${user.name}`);
    await load();
  }
  async function change(user, role) {
    await patch(where`users/${user.name}`, { role });
    await load();
    toast(t("Saved."), { tone: "ok" });
  }

  return html`<${Card} title=${t("Users")} icon="users" actions=${html`<${Button} size="s" icon="plus" onClick=${() => setOpen({})}>${t("Add a user")}<//>`}>
    <${ErrorNote} error=${error} onRetry=${load} />
    ${!users && !error && html`<${Skeleton} lines=${3} />`}
    ${
      users &&
      html`<${Table}
        label=${t("Users")}
        rows=${users}
        id=${({ name }) => name}
        columns=${[
          { key: "name", label: t("Name"), main: true, cell: (user) => html`${user.name} ${user.you && html`<${Badge} tone="info">${t("you")}<//>`}` },
          {
            key: "role",
            label: t("Role"),
            cell: (user) => html`<${RoleSelect} user=${user} onChange=${change} />`,
          },
          { key: "created_at", label: t("Since"), cell: ({ created_at: at }) => html`<${When} at=${at} />` },
          {
            key: "do",
            label: t("Actions"),
            cell: (user) => html`<div class="row row--end">
              ${!user.you && html`<${Button} size="s" icon="key-round" onClick=${() => setOpen({ user })}>${t("New password")}<//>`}
              ${!user.you && html`<${Button} size="s" kind="quiet" icon="trash-2" aria-label=${t("Delete user {name}", { name: user.name })} onClick=${() => drop(user)} />`}
            </div>`,
          },
        ]}
      />`
    }
    ${open && (open.user ? html`<${PasswordDialog} user=${open.user} onClose=${() => setOpen(null)} />` : html`<${UserDialog} onClose=${() => setOpen(null)} onDone=${load} />`)}
  <//>`;
}

function RoleSelect({ user, onChange }) {
  const [error, setError] = useState(null);
  const set = async (role) => {
    try {
      setError(null);
      await onChange(user, role);
    } catch (reason) {
      setError(reason.detail);
    }
  };
  return html`<${Select}
    label=${t("Role of {name}", { name: user.name })}
    hideLabel
    value=${user.role}
    error=${error}
    options=${Object.entries(ROLES).map(([value, [label]]) => ({ value, label: label() }))}
    onInput=${set}
  />`;
}

function UserDialog({ onClose, onDone }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [role, setRole] = useState("viewer");
  const [error, setError] = useState(null);
  async function add(event) {
    event.preventDefault();
    try {
      await post("users", { name, password, role });
      await onDone();
      toast(t("{name} can log in now.", { name }), { tone: "ok" });
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }
  return html`<${Dialog}
    title=${t("Add a user")}
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="add-user">${t("Add")}<//>`}
  >
    <form id="add-user" class="stack" onSubmit=${add} autocomplete="off">
      <${Field} label=${t("Name")} value=${name} onInput=${setName} autofocus required autocomplete="off" error=${error?.for?.("name")} />
      <${Field} type="password" label=${t("Password")} value=${password} onInput=${setPassword} required autocomplete="new-password" error=${error?.for?.("password")} help=${t("At least 10 characters.")} />
      <${Radios} label=${t("Role")} value=${role} onInput=${setRole} options=${Object.entries(ROLES).map(([value, [label, help]]) => ({ value, label: label(), help: help() }))} />
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}

function PasswordDialog({ user, onClose }) {
  const [password, setPassword] = useState("");
  const [error, setError] = useState(null);
  async function save(event) {
    event.preventDefault();
    try {
      await patch(where`users/${user.name}`, { password });
      toast(t("{name} has to log in again, with the new password.", { name: user.name }), { tone: "ok" });
      onClose();
    } catch (reason) {
      setError(reason);
    }
  }
  return html`<${Dialog}
    title=${t("New password of {name}", { name: user.name })}
    size="s"
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="new-password">${t("Save")}<//>`}
  >
    <form id="new-password" class="stack" onSubmit=${save}>
      <${Field} type="password" label=${t("Password")} value=${password} onInput=${setPassword} autofocus required autocomplete="new-password" error=${error?.for?.("password")} help=${t("At least 10 characters.")} />
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}

function Tokens() {
  const [tokens, load, error] = useList("tokens", "tokens");
  const [open, setOpen] = useState(false);
  async function drop(token) {
    const yes = await confirm({
      title: t("Delete token {name}?", { name: token.name }),
      text: t("The script that uses it is refused from now on."),
      action: t("Delete"),
    });
    if (!yes) return;
    await remove(where`tokens/${token.id}`);
    await load();
  }
  return html`<${Card} title=${t("Tokens for scripts")} icon="key-round" lead=${t("Shown in place of a password: Authorization: Bearer nxai_…")} actions=${html`<${Button} size="s" icon="plus" onClick=${() => setOpen(true)}>${t("Make a token")}<//>`}>
    <${ErrorNote} error=${error} onRetry=${load} />
    ${
      tokens &&
      html`<${Table}
        label=${t("Tokens")}
        rows=${tokens}
        empty=${html`<${EmptyState} icon="key-round" title=${t("No token yet")} />`}
        columns=${[
          { key: "name", label: t("Name"), main: true, cell: (token) => html`${token.name} ${token.expired && html`<${Badge} tone="warn">${t("expired")}<//>`}` },
          { key: "scopes", label: t("May"), cell: ({ scopes }) => scopes.join(", ") },
          { key: "created_by", label: t("Of") },
          { key: "last_used_at", label: t("Last used"), cell: ({ last_used_at: at }) => (at ? html`<${When} at=${at} />` : t("never")) },
          { key: "expires_at", label: t("Ends"), cell: ({ expires_at: at }) => (at ? html`<${When} at=${at} />` : t("never")) },
          {
            key: "do",
            label: t("Actions"),
            cell: (token) => html`<${Button} size="s" kind="quiet" icon="trash-2" aria-label=${t("Delete token {name}", { name: token.name })} onClick=${() => drop(token)} />`,
          },
        ]}
      />`
    }
    ${open && html`<${TokenDialog} onClose=${() => setOpen(false)} onDone=${load} />`}
  <//>`;
}

function TokenDialog({ onClose, onDone }) {
  const own = session.value?.scopes ?? [];
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState(new Set(["read"]));
  const [days, setDays] = useState(null);
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  async function make(event) {
    event.preventDefault();
    try {
      setMade(await post("tokens", { name, scopes: [...scopes], ...(days ? { days } : {}) }));
      await onDone();
    } catch (reason) {
      setError(reason);
    }
  }
  const toggle = (scope, on) => {
    const next = new Set(scopes);
    if (on) next.add(scope);
    else next.delete(scope);
    setScopes(next);
  };
  if (made) {
    return html`<${Dialog} title=${t("Token {name}", { name: made.token.name })} onClose=${onClose} dismissable=${false} footer=${html`<${Button} kind="primary" onClick=${onClose}>${t("I have copied it")}<//>`}>
      <${Note} tone="warn" title=${t("It is shown this once.")}><p>${t("Copy it now into your script; the box keeps only a fingerprint of it.")}</p><//>
      <p><${Copyable} block label=${t("Copy the token")}>${made.secret}<//></p>
    <//>`;
  }
  return html`<${Dialog}
    title=${t("Make a token")}
    onClose=${onClose}
    footer=${html`<${Button} onClick=${onClose}>${t("Cancel")}<//><${Button} kind="primary" type="submit" form="make-token" disabled=${scopes.size === 0}>${t("Make")}<//>`}
  >
    <form id="make-token" class="stack" onSubmit=${make}>
      <${Field} label=${t("What is it for?")} value=${name} onInput=${setName} autofocus required maxlength="100" error=${error?.for?.("name")} />
      <fieldset class="field">
        <legend class="field__label">${t("It may")}</legend>
        ${Object.entries(SCOPES)
          .filter(([scope]) => own.includes(scope))
          .map(([scope, label]) => html`<${Checkbox} key=${scope} label=${label()} checked=${scopes.has(scope)} onInput=${(on) => toggle(scope, on)} />`)}
      </fieldset>
      <${Field} type="number" min="1" max="3650" step="1" label=${t("Ends after days")} optional value=${days} onInput=${setDays} help=${t("Empty: until it is deleted.")} error=${error?.for?.("days")} />
      <${ErrorNote} error=${error} />
    </form>
  <//>`;
}
