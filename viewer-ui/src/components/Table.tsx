// A table of results: a real one, with a caption for those who do not see it, in a region that scrolls by keyboard.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Icon } from "../shell/Icon";

export interface Column<Row> {
  key: string;
  title: ComponentChildren;
  cell: (row: Row) => ComponentChildren;
  /** Numbers are aligned at the right. */
  numeric?: boolean;
  /** What the column is sorted by when its title is clicked. */
  sort?: (row: Row) => number | string;
}

export function Table<Row>(props: {
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row, index: number) => string | number;
  /** What stands below the rows, such as their sum. */
  footer?: ComponentChildren;
}) {
  const [sorted, setSorted] = useState<{ key: string; descending: boolean } | null>(null);
  const by = props.columns.find(({ key }) => key === sorted?.key)?.sort;
  const rows = by && sorted ? [...props.rows].sort((a, b) => compare(by(a), by(b)) * (sorted.descending ? -1 : 1)) : props.rows;
  return (
    <div class="table-scroll" role="region" aria-label={props.label} tabIndex={0}>
      <table class="table">
        <thead>
          <tr>
            {props.columns.map(({ key, title, numeric, sort }) => (
              <th
                key={key}
                scope="col"
                class={numeric ? "numeric" : ""}
                aria-sort={sorted?.key === key ? (sorted.descending ? "descending" : "ascending") : undefined}
              >
                {sort ? (
                  <button
                    type="button"
                    class="sort"
                    onClick={() => setSorted({ key, descending: sorted?.key === key ? !sorted.descending : Boolean(numeric) })}
                  >
                    {title}
                    {sorted?.key === key && <Icon name={sorted.descending ? "chevron" : "up"} />}
                  </button>
                ) : (
                  title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={props.rowKey(row, index)}>
              {props.columns.map(({ key, cell, numeric }) => (
                <td key={key} class={numeric ? "numeric" : ""}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        {props.footer && <tfoot>{props.footer}</tfoot>}
      </table>
    </div>
  );
}

function compare(a: number | string, b: number | string): number {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}
