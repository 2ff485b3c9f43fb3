// Which columns the table has, and in which order.
import { useState } from "preact/hooks";
import { config } from "../../config";
import { Icon } from "../../shell/Icon";
import { Popover } from "../../shell/Popover";
import { columns, DEFAULT_COLUMNS, moveColumn, setColumns, toggleColumn } from "./state";

export function Columns() {
  return (
    <Popover
      label="Columns"
      class="button quiet small"
      align="right"
      button={
        <>
          <Icon name="columns" />
          <span class="wide-only">Columns</span>
        </>
      }
    >
      {() => <Panel />}
    </Popover>
  );
}

function Panel() {
  const [search, setSearch] = useState("");
  const shown = columns.value;
  const wanted = search.trim().toLowerCase();
  const fields = [{ name: "summary", description: "what happened, in one line" }, ...(config.value?.fields.filter(({ kind }) => kind !== "group") ?? [])];
  const rest = fields.filter(({ name, description }) => !shown.includes(name) && `${name} ${description}`.toLowerCase().includes(wanted));
  const exact = wanted && !fields.some(({ name }) => name.toLowerCase() === wanted) && /^[^\s:(),]+$/.test(wanted);
  return (
    <div class="columns-panel">
      <ol>
        {shown.map((name, at) => (
          <li key={name}>
            <span>{name}</span>
            <button type="button" aria-label={`Move ${name} to the left`} disabled={at === 0} onClick={() => moveColumn(name, at - 1)}>
              <Icon name="up" />
            </button>
            <button type="button" aria-label={`Move ${name} to the right`} disabled={at === shown.length - 1} onClick={() => moveColumn(name, at + 1)}>
              <Icon name="chevron" />
            </button>
            <button type="button" aria-label={`Remove ${name}`} disabled={shown.length === 1} onClick={() => toggleColumn(name)}>
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ol>
      <input type="search" value={search} placeholder="Add a field, such as data.order.id" aria-label="Find a field" spellcheck={false} onInput={(event) => setSearch(event.currentTarget.value)} />
      <ul>
        {exact && (
          <li>
            <button type="button" onClick={() => (toggleColumn(search.trim()), setSearch(""))}>
              <Icon name="plus" /> <span>{search.trim()}</span>
            </button>
          </li>
        )}
        {rest.slice(0, 60).map(({ name, description }) => (
          <li key={name}>
            <button type="button" title={description} onClick={() => toggleColumn(name)}>
              <Icon name="plus" /> <span>{name}</span>
            </button>
          </li>
        ))}
      </ul>
      <button type="button" class="button small" onClick={() => setColumns(DEFAULT_COLUMNS)}>
        <Icon name="refresh" /> Usual columns
      </button>
    </div>
  );
}
