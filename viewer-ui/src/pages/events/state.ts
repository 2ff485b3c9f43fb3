// What the events page keeps in the address beside the question and its range.
import { batch, computed, effect, signal } from "@preact/signals";
import { narrow } from "../../components/EventTable";
import { config } from "../../config";
import { choice, flag, from, go, href, list, page, query, text, to, type Changes } from "../../location";
import { moment, resolved, zone } from "../../time";
import type { SavedView } from "../../types";

export const DEFAULT_COLUMNS = ["time", "level", "status", "summary", "user", "ip", "dur"];
export const DEFAULT_FACETS = ["level", "status", "event", "method", "user", "path", "ip", "service"];

export const columns = list("col", DEFAULT_COLUMNS);
export const facetFields = list("facet", DEFAULT_FACETS);
export const order = choice("order", ["newest", "oldest"]);
export const by = choice("by", ["status", "level"]);
export const selected = text("sel");
export const after = text("after");
export const before = text("before");
export const live = flag("live");
export const wrap = flag("wrap");
export const density = choice("rows", ["compact", "roomy"]);
/** Around which event, with whom in common, how many on each side, and whether only what the query asks for. */
export const around = text("around");
export const same = choice("same", ["", "trace", "session", "user", "ip"]);
export const reach = choice("reach", ["10", "25", "100"]);
export const filteredContext = flag("filtered");

/** Whether the facets are shown, where there is room for a drawer only. */
export const drawer = signal(false);

/** What leads to another place in the table is forgotten when the question changes. */
export const ELSEWHERE: Changes = { after: null, before: null, around: null };

/** The question as the API takes it. */
export const scope = computed(() => ({ q: query.value, from: from.value, to: to.value, tz: zone.value }));

export const ask = (changes: Changes): void => go({ ...changes, ...ELSEWHERE });

export function setColumns(names: readonly string[]): void {
  const usual = names.length === DEFAULT_COLUMNS.length && names.every((name, at) => name === DEFAULT_COLUMNS[at]);
  go({ col: usual || names.length === 0 ? null : names }, { replace: true });
}

export function toggleColumn(name: string): void {
  const { value } = columns;
  setColumns(value.includes(name) ? value.filter((known) => known !== name) : [...value, name]);
}

/** Show how often each value of a field occurs. */
export function addFacet(name: string): void {
  const names = [...facetFields.value.filter((known) => known !== name), name];
  go({ facet: names }, { replace: true });
  drawer.value = narrow.value;
}

export function moveColumn(name: string, place: number): void {
  const rest = columns.value.filter((known) => known !== name);
  rest.splice(Math.max(0, place), 0, name);
  setColumns(rest);
}

/** The address for others: relative ends of the range become moments, and what is remembered here is said. */
export function frozenLink(): string {
  const now = new Date();
  const fixed = (end: string): string | null => resolved(end, now)?.toISOString() ?? null;
  const address = href({
    page: page.value,
    from: fixed(from.value),
    to: fixed(to.value) ?? now.toISOString(),
    tz: zone.value,
    col: columns.value,
    live: null,
  });
  return new URL(address, location.href).href;
}

/** The address of a view. */
export function viewChanges(view: SavedView): Changes {
  return { ...ELSEWHERE, q: view.q, from: view.from, to: view.to, col: view.columns ?? [], sel: null, live: null };
}

const DEFAULT_VIEW = "auditmw.default-view";

export const defaultView = signal(read());

function read(): string {
  try {
    return localStorage.getItem(DEFAULT_VIEW) ?? "";
  } catch {
    return "";
  }
}

/** Show this view whenever the viewer is opened without a question; "" for none. */
export function setDefaultView(name: string): void {
  defaultView.value = name;
  try {
    localStorage.setItem(DEFAULT_VIEW, name);
  } catch {
    // For this visit only.
  }
}

const namedView = text("view");
let opened = location.search.length > 1;

// A view is opened by its name in the address, or as the default one where the address asks for nothing.
effect(() => {
  const known = config.value?.views;
  if (!known) return;
  const name = namedView.value || (opened ? "" : defaultView.value);
  opened = true;
  const view = known.find((one) => one.name === name);
  if (name) batch(() => go({ ...(view && viewChanges(view)), view: null }, { replace: true }));
});

/** A file name's part for now: 2026-11-20T202011. */
export const stamp = (): string => moment(new Date(), 0).replace(" ", "T").replaceAll(":", "");
