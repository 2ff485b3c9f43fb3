// All matches as a file: first how many they are, and whether the server gives all of them.
import { useState } from "preact/hooks";
import { address, useAnswer } from "../../api";
import { ErrorNote, PartialNote } from "../../components/State";
import { config } from "../../config";
import { count, counted } from "../../numbers";
import { Dialog } from "../../shell/Dialog";
import { Icon } from "../../shell/Icon";
import { rangeName, zone } from "../../time";
import type { Count } from "../../types";
import { columns, order, scope } from "./state";

/** A summary is no field: these are what it is made of. */
const asFields = (names: readonly string[]): string[] => [
  ...new Set(names.flatMap((name) => (name === "summary" ? ["event", "method", "path", "message"] : [name]))),
];

export function ExportDialog({ onClose }: { onClose: () => void }) {
  const [format, setFormat] = useState<"ndjson" | "csv">("ndjson");
  const [names, setNames] = useState(() => asFields(columns.value).join(", "));
  const [whole, setWhole] = useState(true);
  const cap = config.value!.export_cap;
  const asked = useAnswer<Count>("count", { ...scope.value, cap });
  const found = asked.data?.answer;
  const chosen = format === "csv" || !whole ? names.split(",").map((name) => name.trim()).filter(Boolean).join(",") : "";
  const link = address("export", { ...scope.value, format, columns: chosen, order: order.value });
  const { q, from, to } = scope.value;
  return (
    <Dialog title="Export all matching events" onClose={onClose}>
      <dl class="facts">
        <div>
          <dt>Query</dt>
          <dd>{q ? <code>{q}</code> : "every event"}</dd>
        </div>
        <div>
          <dt>Range</dt>
          <dd>{rangeName(from, to)}</dd>
        </div>
        <div>
          <dt>Events</dt>
          <dd>
            <span role="status">
              {found ? (
                <strong>
                  {count(found.value)}
                  {(found.capped || found.partial) && "+"}
                </strong>
              ) : asked.error ? (
                "unknown"
              ) : (
                "counting…"
              )}
            </span>
          </dd>
        </div>
      </dl>
      <ErrorNote error={asked.error} retry={asked.retry} />
      <PartialNote partial={found?.partial} retry={asked.retry} what="The count" />
      {found?.capped && (
        <p class="note warning" role="status">
          <Icon name="warning" />
          <span>
            There are more than {counted(cap, "event")}, and an export has at most that many: this one will have the {order.value} of them. Choose
            shorter ranges to export all.
          </span>
        </p>
      )}
      <fieldset class="choices">
        <legend>Format</legend>
        <label>
          <input type="radio" name="format" checked={format === "ndjson"} onChange={() => setFormat("ndjson")} /> NDJSON <span class="muted">one event a line</span>
        </label>
        <label>
          <input type="radio" name="format" checked={format === "csv"} onChange={() => setFormat("csv")} /> CSV <span class="muted">for spreadsheets</span>
        </label>
      </fieldset>
      {format === "ndjson" && (
        <label class="check">
          <input type="checkbox" checked={whole} onChange={(event) => setWhole(event.currentTarget.checked)} /> Whole events, not only some columns
        </label>
      )}
      {(format === "csv" || !whole) && (
        <label class="stacked-field">
          Columns
          <input value={names} spellcheck={false} onInput={(event) => setNames(event.currentTarget.value)} />
          <span class="hint">Names of fields with commas between them. Times are in UTC, not in {zone.value === "UTC" ? "another zone" : zone.value}.</span>
        </label>
      )}
      <footer>
        <button type="button" class="button" onClick={onClose}>
          Cancel
        </button>
        <a class="button primary" href={link} download onClick={() => setTimeout(onClose)}>
          <Icon name="download" /> Export{found ? ` ${found.capped ? `the ${order.value} ` : ""}${count(Math.min(found.value, cap))}` : ""}
        </a>
      </footer>
    </Dialog>
  );
}
