import { t } from "../i18n.js";
import { cls, html, useMemo, useState } from "../view.js";
import { Icon } from "./icon.js";

/**
 * {columns: [{key, label, cell: (row) => element (row[key]), sort: (row) => value or true (row[key]),
 * number (right), main (title of the card on a phone), width}], rows, id: (row) => key, label (caption),
 * sorted: {key, down}, onSort (given: the caller sorts), onRow(row), chosen: (row) => boolean, empty (element),
 * cards (default true: narrow, each row becomes a card)}
 */
export function Table({
  columns,
  rows,
  id = (row) => row.id,
  label,
  sorted,
  onSort,
  onRow,
  chosen,
  empty,
  cards = true,
  class: more,
}) {
  const [own, setOwn] = useState(sorted ?? null);
  const order = onSort ? sorted : own;
  const listed = useMemo(() => {
    const column = columns.find(({ key }) => key === order?.key);
    if (!column?.sort || onSort) return rows;
    const value = column.sort === true ? (row) => row[column.key] : column.sort;
    return [...rows].sort((a, b) => compare(value(a), value(b)) * (order.down ? -1 : 1));
  }, [rows, order?.key, order?.down]);

  const sortBy = (key) => {
    const next = { key, down: order?.key === key ? !order.down : false };
    if (onSort) onSort(next);
    else setOwn(next);
  };

  if (rows.length === 0 && empty) return empty;
  return html`<div class=${cls("table-box", more)}>
    <div class="table-box__scroll" tabindex=${cards ? null : 0} role=${cards ? null : "region"} aria-label=${cards ? null : label}>
      <table class=${cls("table", cards && "table--cards")}>
        ${label && html`<caption class="unseen">${label}</caption>`}
        <thead>
          <tr>
            ${columns.map(({ key, label: name, sort, number, width }) => {
              const now = order?.key === key;
              return html`<th
                key=${key}
                scope="col"
                class=${number ? "table__number" : ""}
                style=${width ? { width } : null}
                aria-sort=${now ? (order.down ? "descending" : "ascending") : null}
              >
                ${
                  sort
                    ? html`<button type="button" class="table__sort" onClick=${() => sortBy(key)}>
                      ${name}<${Icon} name=${now ? (order.down ? "arrow-down" : "arrow-up") : "arrow-up-down"} />
                    </button>`
                    : name || html`<span class="unseen">${t("Actions")}</span>`
                }
              </th>`;
            })}
          </tr>
        </thead>
        <tbody>
          ${listed.map(
            (row) => html`<tr
              key=${id(row)}
              class=${cls(onRow && "is-link", chosen?.(row) && "is-chosen")}
              onClick=${onRow && ((event) => !event.target.closest("a, button, input, label, select") && onRow(row))}
            >
              ${columns.map(
                ({ key, label: name, cell, number, main }) =>
                  html`<td class=${cls(number && "table__number", main && "is-main")} data-label=${name || null}>${cell ? cell(row) : row[key]}</td>`,
              )}
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </div>`;
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return 1;
  if (b === null || b === undefined) return -1;
  if (typeof a === "string" && typeof b === "string")
    return a.localeCompare(b, undefined, { numeric: true, sensitivity: "base" });
  return a < b ? -1 : 1;
}
