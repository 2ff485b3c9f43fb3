// What one does with the table as a whole.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { narrow } from "../../components/EventTable";
import { config } from "../../config";
import { go, href } from "../../location";
import { Icon } from "../../shell/Icon";
import { copy } from "../../shell/notice";
import { Columns } from "./Columns";
import { toggleLive } from "./EventsPage";
import { ExportDialog } from "./ExportDialog";
import type { Rows } from "./rows";
import { after, before, density, drawer, frozenLink, live, order, wrap } from "./state";
import { Views } from "./Views";

export function Toolbar({ rows, held, children }: { rows: Rows; held: boolean; children: ComponentChildren }) {
  const [exporting, setExporting] = useState(false);
  const mayExport = config.value!.viewer.may_export;
  return (
    <div class="toolbar" role="group" aria-label="Table">
      {narrow.value && (
        <button type="button" class="button small" aria-expanded={drawer.value} onClick={() => (drawer.value = true)}>
          <Icon name="filter" /> Filters
        </button>
      )}
      <Views />
      <button type="button" class="button small" aria-pressed={live.value} onClick={toggleLive} title={live.value ? "Stop showing new events" : "Show new events as they come"}>
        {live.value ? <i class={`live-dot ${held ? "held" : ""}`} /> : <Icon name="play" />} Live
      </button>
      {children}
      <span class="spring" />
      {!live.value && !narrow.value && <Pager rows={rows} />}
      <Columns />
      {!narrow.value && (
        <>
          <button
            type="button"
            class="button quiet small square"
            aria-pressed={density.value === "roomy"}
            aria-label="Roomy rows"
            title="Roomy rows"
            onClick={() => go({ rows: density.value === "roomy" ? null : "roomy" }, { replace: true })}
          >
            <Icon name="rows" />
          </button>
          <button
            type="button"
            class="button quiet small square"
            aria-pressed={wrap.value}
            aria-label="Wrap long values"
            title="Wrap long values"
            onClick={() => go({ wrap: !wrap.value }, { replace: true })}
          >
            <Icon name="wrap" />
          </button>
        </>
      )}
      <button
        type="button"
        class="button quiet small"
        title="Copy a link to what is shown now; a relative range becomes a fixed one"
        aria-label="Copy link"
        onClick={() => void copy(frozenLink(), "Link copied; its range stays as it is now")}
      >
        <Icon name="link" />
        <span class="wide-only">Copy link</span>
      </button>
      {mayExport && (
        <button type="button" class="button quiet small" aria-label="Export" onClick={() => setExporting(true)}>
          <Icon name="download" />
          <span class="wide-only">Export</span>
        </button>
      )}
      {exporting && <ExportDialog onClose={() => setExporting(false)} />}
    </div>
  );
}

/** From window to window, as an alternative to scrolling. */
export function Pager({ rows }: { rows: Rows }) {
  const newest = order.value === "newest";
  const moved = Boolean(after.value || before.value);
  const { value: next } = rows.next;
  const { value: previous } = rows.previous;
  return (
    <nav class="pager" aria-label="Pages of events">
      {moved && (
        <a class="button quiet small" href={href({ after: null, before: null })}>
          {newest ? "Newest" : "Oldest"}
        </a>
      )}
      <a
        role="link"
        class="button quiet small square"
        aria-label={newest ? "Newer events" : "Older events"}
        title={newest ? "Newer events" : "Older events"}
        aria-disabled={!moved || !previous}
        {...(moved && previous && { href: href({ before: previous, after: null }) })}
      >
        <Icon name="left" />
      </a>
      <a
        role="link"
        class="button quiet small square"
        aria-label={newest ? "Older events" : "Newer events"}
        title={newest ? "Older events" : "Newer events"}
        aria-disabled={!next}
        {...(next && { href: href({ after: next, before: null }) })}
      >
        <Icon name="right" />
      </a>
    </nav>
  );
}
