// The parts of the forms above an analysis: what they choose stands in the address.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { config } from "../../config";
import { from, go, href, query, to } from "../../location";
import { Icon } from "../../shell/Icon";
import { useKeys } from "../../shell/keys";
import { copy } from "../../shell/notice";
import { resolved, zone } from "../../time";
import { Working } from "./Working";
import { QueryField } from "./QueryField";

/** The title, and the query that limits what the page is about. */
export function Head({ title, children }: { title: string; children?: ComponentChildren }) {
  useKeys([{ key: "/", told: "Edit the query", run: () => document.querySelector<HTMLElement>(".page-filter input")?.focus() }]);
  return (
    <div class="page-title">
      <h1>{title}</h1>
      <Working />
      <button
        type="button"
        class="button quiet square"
        aria-label="Copy a link to this page"
        title="Copy a link; its times are fixed"
        onClick={() => void copy(frozen(), "Link copied")}
      >
        <Icon name="link" />
      </button>
      {children}
      <div class="page-filter">
        <QueryField
          label="Only events that match"
          quiet
          value={query.value}
          placeholder="All events; narrow them with a query"
          run={(q) => go({ q })}
        />
      </div>
    </div>
  );
}

/** The address for others: what counts from now is a moment. */
function frozen(): string {
  const fixed = (end: string): string | undefined => resolved(end)?.toISOString();
  const ends = from.value ? { from: fixed(from.value), to: fixed(to.value || "now") } : { to: fixed(to.value) };
  return new URL(href({ ...ends, tz: zone.value }), location.href).href;
}

/** One of a few words. */
export function Select<T extends string>(props: { label: string; name: string; value: T; options: Record<T, string> }) {
  const id = useId();
  return (
    <div class="choose">
      <label for={id}>{props.label}</label>
      <select id={id} onChange={(event) => go({ [props.name]: event.currentTarget.value })}>
        {(Object.entries(props.options) as [T, string][]).map(([word, told]) => (
          <option key={word} value={word} selected={word === props.value}>
            {told}
          </option>
        ))}
      </select>
    </div>
  );
}

/** One of two or three words, all in sight. */
export function Segments<T extends string>(props: { label: string; name: string; value: T; options: Record<T, string>; disabled?: boolean }) {
  return (
    <div class="segmented" role="group" aria-label={props.label}>
      {(Object.entries(props.options) as [T, string][]).map(([word, told]) => (
        <button key={word} type="button" disabled={props.disabled} aria-pressed={word === props.value} onClick={() => go({ [props.name]: word })}>
          {told}
        </button>
      ))}
    </div>
  );
}

export function Check({ label, name, value }: { label: string; name: string; value: boolean }) {
  return (
    <label class="check">
      <input type="checkbox" checked={value} onChange={(event) => go({ [name]: event.currentTarget.checked })} /> {label}
    </label>
  );
}

/** A short text, such as a field's name or a span. */
export function Entry(props: { label: string; name: string; value: string; placeholder: string; fields?: boolean; pattern?: string; hint?: string }) {
  const id = useId();
  return (
    <div class="choose">
      <label for={id}>{props.label}</label>
      <input
        id={id}
        value={props.value}
        placeholder={props.placeholder}
        list={props.fields ? `${id}-fields` : undefined}
        pattern={props.pattern}
        title={props.hint}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        onChange={(event) => event.currentTarget.reportValidity() && go({ [props.name]: event.currentTarget.value.trim() })}
      />
      {props.fields && (
        <datalist id={`${id}-fields`}>
          {["referrer.host", "query.utm_source", ...(config.value?.fields ?? []).map(({ name }) => name)].map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
      )}
    </div>
  );
}

/** Whose events make up a journey. */
export const UNITS = { session: "Sessions", user: "Users", person: "Users, also before login", ip: "Clients (IP)" };
export const UNIT_WORDS = ["session", "user", "person", "ip"] as const;
export type Unit = (typeof UNIT_WORDS)[number];
/** What one of them is called. */
export const NOUNS = { session: "session", user: "user", person: "user", ip: "client", event: "event" };
