// The state of the page is its address: every page reads it from here and changes it here, and nowhere else.
import { computed, signal, type ReadonlySignal } from "@preact/signals";

export type PlaceValue = string | number | boolean | readonly string[] | null | undefined;
/** What to change of the address: a list stands as a repeated parameter; null, undefined, "" and false take it away. */
export type Changes = Readonly<Record<string, PlaceValue>>;

const search = signal(new URLSearchParams(location.search));

/** What every page keeps when one goes to another one: the question, its range and the time zone. */
const SHARED = ["q", "from", "to", "tz"];

addEventListener("popstate", () => {
  search.value = new URLSearchParams(location.search);
});

/** The text of a parameter. */
export function text(name: string, fallback = ""): ReadonlySignal<string> {
  return computed(() => search.value.get(name) ?? fallback);
}

/** One of a few words; whatever else stands there is the first of them. */
export function choice<T extends string>(name: string, choices: readonly [T, ...T[]]): ReadonlySignal<T> {
  return computed(() => choices.find((known) => known === search.value.get(name)) ?? choices[0]);
}

/** Whether the parameter is "1". */
export function flag(name: string): ReadonlySignal<boolean> {
  return computed(() => search.value.get(name) === "1");
}

/** The values of a repeated parameter; `fallback` when there are none. */
export function list(name: string, fallback: readonly string[] = []): ReadonlySignal<readonly string[]> {
  const key = computed(() => JSON.stringify(search.value.getAll(name)));
  return computed(() => {
    const values = JSON.parse(key.value) as string[];
    return values.length ? values : fallback;
  });
}

export const page = text("page", "events");
export const query = text("q");
export const from = text("from");
export const to = text("to");

function changed(params: URLSearchParams, changes: Changes): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    if (Array.isArray(value)) for (const item of value as string[]) next.append(name, item);
    else if (value === true) next.set(name, "1");
    else if (value !== null && value !== undefined && value !== false && value !== "") next.set(name, String(value));
  }
  return next;
}

function written(params: URLSearchParams): string {
  // A query is easier to read and to share with the punctuation that RFC 3986 §3.4 allows in one.
  return `?${params.toString().replace(/%(3A|2F|2C|40|2A|24|21)/g, decodeURIComponent)}`;
}

/** The address of this page with changes: for `<a href>`, so that a new tab works as well. */
export function href(changes: Changes): string {
  return written(changed(search.value, changes));
}

/** The address of another page, with the shared question and range, and parameters of its own. */
export function pageHref(name: string, params: Changes = {}): string {
  const kept = new URLSearchParams();
  kept.set("page", name);
  for (const shared of SHARED) {
    const value = search.value.get(shared);
    if (value) kept.set(shared, value);
  }
  return written(changed(kept, params));
}

function show(address: string, replace: boolean): void {
  if (address === written(search.value)) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  search.value = new URLSearchParams(address);
}

/** Change the address. `replace`: without an entry of its own in the history, for what is not worth one. */
export function go(changes: Changes, { replace = false } = {}): void {
  show(href(changes), replace);
}

/** Follow an address that `href` or `pageHref` made. */
export function follow(address: string): void {
  show(address, false);
}

// Links within the page need no loading of it; with a modifier key, or to be downloaded, the browser does what it does.
document.addEventListener("click", (event) => {
  const link = (event.target as Element).closest?.("a");
  const address = link?.getAttribute("href");
  if (!link || !address?.startsWith("?") || link.target || link.hasAttribute("download")) return;
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  follow(address);
});
