// Saved views: a query, its range and columns by a name; some that come with the viewer, and everybody's own.
import { useState } from "preact/hooks";
import { ApiError, send } from "../../api";
import { Text, visible } from "../../components/Text";
import { config, loadConfig } from "../../config";
import { from, href, query, to } from "../../location";
import { Dialog } from "../../shell/Dialog";
import { Icon } from "../../shell/Icon";
import { say } from "../../shell/notice";
import { Popover } from "../../shell/Popover";
import { rangeName } from "../../time";
import type { SavedView } from "../../types";
import { columns, defaultView, setDefaultView, viewChanges } from "./state";

export function Views() {
  const [saving, setSaving] = useState(false);
  const current = config.value!.views.find(
    (view) => view.q === query.value && (view.from ?? "") === from.value && (view.to ?? "") === to.value && (!view.columns || view.columns.join() === columns.value.join()),
  );
  return (
    <>
      <Popover
        label={`Views${current ? `: ${current.name}` : ""}`}
        align="left"
        class="button small"
        button={
          <>
            <Icon name="star" />
            <span class="view-name">{current && current.q ? <Text text={current.name} limit={24} /> : "Views"}</span>
            <Icon name="chevron" />
          </>
        }
      >
        {(close) => <ViewList close={close} save={() => (close(), setSaving(true))} current={current} />}
      </Popover>
      {saving && <SaveDialog onClose={() => setSaving(false)} />}
    </>
  );
}

function ViewList({ close, save, current }: { close: () => void; save: () => void; current: SavedView | undefined }) {
  const { views } = config.value!;
  const group = (title: string, list: readonly SavedView[]) =>
    list.length > 0 && (
      <section>
        <h3>{title}</h3>
        <ul>
          {list.map((view) => (
            <li key={view.name}>
              <a href={href(viewChanges(view))} aria-current={view === current ? "true" : undefined} title={visible(view.q || "every event")} onClick={() => setTimeout(close)}>
                <Text text={view.name} limit={60} />
                <span class="muted">{view.from || view.to ? rangeName(view.from ?? "", view.to ?? "") : ""}</span>
              </a>
              <button
                type="button"
                aria-pressed={defaultView.value === view.name}
                aria-label={`Open the viewer with ${view.name}`}
                title="Open the viewer with this view"
                onClick={() => setDefaultView(defaultView.value === view.name ? "" : view.name)}
              >
                <Icon name="star" />
              </button>
              {!view.builtin && (
                <button type="button" aria-label={`Delete ${view.name}`} title="Delete" onClick={() => void remove(view.name)}>
                  <Icon name="trash" />
                </button>
              )}
            </li>
          ))}
        </ul>
      </section>
    );
  return (
    <div class="views">
      {group("Saved", views.filter(({ builtin }) => !builtin))}
      {group("Built in", views.filter(({ builtin }) => builtin))}
      <button type="button" class="button small" onClick={save}>
        <Icon name="plus" /> Save this view
      </button>
    </div>
  );
}

async function remove(name: string): Promise<void> {
  try {
    await send("DELETE", `views?name=${encodeURIComponent(name)}`);
    if (defaultView.value === name) setDefaultView("");
    await loadConfig();
    say(`“${name.slice(0, 60)}” is deleted`);
  } catch (error) {
    say((error as ApiError).message);
  }
}

function SaveDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [wrong, setWrong] = useState("");
  const save = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      await send("POST", "views", { name: name.trim(), q: query.value, columns: columns.value, from: from.value || null, to: to.value || null });
      await loadConfig();
      say(`“${name.trim().slice(0, 60)}” is saved`);
      onClose();
    } catch (error) {
      setWrong((error as ApiError).message);
    }
  };
  return (
    <Dialog title="Save this view" onClose={onClose}>
      <form class="stacked-form" onSubmit={(event) => void save(event)}>
        <label class="stacked-field">
          Name
          <input autofocus required maxLength={100} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <dl class="facts">
          <div>
            <dt>Query</dt>
            <dd>{query.value ? <code>{query.value}</code> : "every event"}</dd>
          </div>
          <div>
            <dt>Range</dt>
            <dd>{rangeName(from.value, to.value)}</dd>
          </div>
          <div>
            <dt>Columns</dt>
            <dd>{columns.value.join(", ")}</dd>
          </div>
        </dl>
        <p class="hint">Everybody who may see this viewer sees the view.</p>
        {wrong && (
          <p class="field-error" role="alert">
            {wrong}
          </p>
        )}
        <footer>
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button primary" disabled={!name.trim()}>
            Save
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
