// One value of a field: what it looks like, and what can be done with it.
import { signal } from "@preact/signals";
import { field as fieldInfo, namesOf } from "../config";
import { href, page, pageHref, query } from "../location";
import { bytes, count } from "../numbers";
import { and, clause } from "../querytext";
import { copy } from "../shell/notice";
import { closeMenu, openMenu, type MenuItem } from "../shell/Menu";
import { moment, spanText } from "../time";
import type { Json } from "../types";
import { Text, visible } from "./Text";

/** Pages that are about one value of a field: `?page=user&id=alice`. */
const PAGES: Record<string, [page: string, told: string]> = {
  user: ["user", "Open the user's timeline"],
  session: ["session", "Open the session"],
  trace: ["trace", "Open the trace"],
  ip: ["client", "Open the client's timeline"],
};

/** The address of the page about this value, null when there is none. */
export function pageOf(field: string, value: string): string | null {
  const found = PAGES[namesOf(field)[0]!];
  // All of its time: what one was asking before is left behind.
  return found && value ? pageHref(found[0], { id: value, q: null, from: null, to: null }) : null;
}

/** What a page with a table of events lets one do with a field. */
export const columnActions = signal<{ has: (field: string) => boolean; toggle: (field: string) => void; group: (field: string) => void } | null>(null);
/** Pages that show what `q` asks for; on the others, a filter leads to the events. */
export const filteredPages = new Set(["events", "overview", "funnel", "retention", "conversion", "paths"]);

/** Where a query with this clause leads: this page with the clause added, or the events. */
export function filtered(added: string): string {
  if (!filteredPages.has(page.value)) return pageHref("events", { q: added });
  return href({ q: and(query.value, added), after: null, before: null });
}

/** Show what can be done with a value, below `anchor`. */
export function openValueMenu(anchor: Element, field: string, value: Json): void {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const leaf = value === null || typeof value !== "object";
  const items: MenuItem[] = leaf ? filters(field, text) : [];
  const about = leaf ? pageOf(field, text) : null;
  if (about) items.push({ label: PAGES[namesOf(field)[0]!]![1], icon: "open", href: about, separated: true });
  const columns = columnActions.value;
  if (columns)
    items.push({
      label: columns.has(field) ? "Remove the column" : "Add as a column",
      icon: "columns",
      run: () => columns.toggle(field),
      separated: !about,
    });
  if (columns && leaf && fieldInfo(field)?.kind !== "time") items.push({ label: "Count its values", icon: "filter", run: () => columns.group(field) });
  items.push({ label: "Copy the value", icon: "copy", run: () => void copy(text) });
  const header = (
    <>
      <span class="menu-field">{field}</span> <Text text={text} limit={80} />
    </>
  );
  openMenu(anchor, visible(`${field}: ${text}`, 100), items, header);
}

function filters(field: string, text: string): MenuItem[] {
  const kind = fieldInfo(field)?.kind;
  if (kind === "time") {
    const around = (minutes: number): string => new Date(+new Date(text) + minutes * 60_000).toISOString();
    const range = (changes: { from?: string; to?: string }): string => href({ ...changes, after: null, before: null });
    return [
      { label: "From this moment on", icon: "right", href: range({ from: text }) },
      { label: "Until this moment", icon: "left", href: range({ to: text }) },
      { label: "5 minutes around it", icon: "around", href: range({ from: around(-5), to: around(5) }) },
    ];
  }
  const value = kind === "duration" ? `${text}ns` : text;
  const items: MenuItem[] = [
    { label: "Filter for this value", icon: "plus", href: filtered(clause(field, value)) },
    { label: "Filter it out", icon: "minus", href: filtered(clause(field, value, true)) },
  ];
  if (kind === "duration" || kind === "size" || kind === "number") {
    items.push({ label: "As much or more", icon: "right", href: filtered(`${field}:>=${value}`) });
    items.push({ label: "As much or less", icon: "left", href: filtered(`${field}:<=${value}`) });
  }
  return items;
}

/** How a value of this field is written for people; events keep it as it is. */
export function display(field: string, value: Json): string {
  const kind = fieldInfo(field)?.kind;
  if (typeof value === "number") {
    if (kind === "duration") return spanText(value / 1e9);
    if (kind === "size") return bytes(value);
    if (kind === "number") return /port|pid|number|line|offset/.test(field) ? String(value) : count(value);
  }
  if (kind === "time" && typeof value === "string") return moment(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The class that colours a value: of a status code or a level; colour never stands alone, the value is there as text. */
export function toneOf(field: string, value: Json): string {
  const name = fieldInfo(field)?.name ?? field;
  if (name === "status" && typeof value === "number") return `tone status-${Math.floor(value / 100)}xx`;
  if (name === "level") return `tone level-${String(value)}`;
  if (name === "result") return `tone result-${String(value)}`;
  return "";
}

/** A value that opens its menu. `inert`: only its text. `focusable`: with the Tab key (in tables, rows are). */
export function Value(props: { field: string; value: Json; limit?: number; inert?: boolean; focusable?: boolean; more?: boolean }) {
  const { field, value, limit, inert = false, focusable = true, more = false } = props;
  const shown = display(field, value);
  const title = typeof value === "string" && fieldInfo(field)?.kind === "time" ? value : undefined;
  const text = <Text text={shown} limit={limit ?? 300} />;
  const tone = toneOf(field, value);
  if (inert) return <span class={`value inert ${tone}`} title={title}>{text}</span>;
  return (
    <>
      <button
        type="button"
        class={`value ${tone}`}
        title={title}
        tabIndex={focusable ? 0 : -1}
        aria-haspopup="menu"
        onClick={(event) => {
          event.stopPropagation();
          openValueMenu(event.currentTarget, field, value);
        }}
      >
        {text}
      </button>
      {more && shown.length > (limit ?? 300) && <MoreOf text={shown} limit={limit ?? 300} />}
    </>
  );
}

function MoreOf({ text, limit }: { text: string; limit: number }) {
  return (
    <details class="whole" onToggle={closeMenu}>
      <summary>show all ({bytes(text.length)})</summary>
      <Text text={text} limit={limit * 10} more multiline />
    </details>
  );
}
