// The most frequent values of some fields: several of one field are one or the other, fields narrow each other.
import { useState } from "preact/hooks";
import { useAnswer, type Asked } from "../../api";
import { ErrorNote, incomplete, partialText, Skeleton } from "../../components/State";
import { Text, visible } from "../../components/Text";
import { display, toneOf } from "../../components/Value";
import { config, field as fieldInfo, namesOf } from "../../config";
import { go, query } from "../../location";
import { count, shortCount } from "../../numbers";
import { and, choose, chosen, quoted } from "../../querytext";
import { Icon } from "../../shell/Icon";
import type { Facet } from "../../types";
import { ask, DEFAULT_FACETS, facetFields, scope } from "./state";

const FIRST = 6;
const TOGETHER = 4;

export function Facets({ tick }: { tick: number }) {
  const [closed, setClosed] = useState<readonly string[]>([]);
  const names = facetFields.value;
  const pinned = (wanted: readonly string[]): void => go({ facet: wanted.join() === DEFAULT_FACETS.join() ? null : wanted }, { replace: true });
  const toggle = (name: string): void => setClosed(closed.includes(name) ? closed.filter((known) => known !== name) : [...closed, name]);
  return (
    <div class="facets">
      {Array.from({ length: Math.ceil(names.length / TOGETHER) }, (_, at) => (
        <Group
          key={at}
          names={names.slice(at * TOGETHER, (at + 1) * TOGETHER)}
          tick={tick}
          closed={closed}
          toggle={toggle}
          remove={(name) => pinned(names.filter((known) => known !== name))}
        />
      ))}
      <AddFacet add={(name) => pinned([...names.filter((known) => known !== name), name])} />
    </div>
  );
}

interface GroupProps {
  names: readonly string[];
  tick: number;
  closed: readonly string[];
  toggle: (name: string) => void;
  remove: (name: string) => void;
}

/** Some fields that are asked for together: the first ones are there while others are still counted. */
function Group({ names, tick, closed, toggle, remove }: GroupProps) {
  const open = names.filter((name) => !closed.includes(name));
  const asked = useAnswer<Facet[]>(
    open.length ? "facets" : null,
    { ...scope.value, fields: open.join(","), limit: 12, multi: true, tick: tick || null },
    "at last",
  );
  return (
    <div class={`facet-group ${asked.busy && asked.data ? "stale" : ""}`}>
      <ErrorNote error={asked.error} retry={asked.retry} what="Facets" />
      {names.map((name) => (
        <FacetOf
          key={name}
          name={name}
          facet={asked.data?.answer.find(({ field }) => field === name || namesOf(name).includes(field.toLowerCase()))}
          asked={asked}
          open={!closed.includes(name)}
          toggle={() => toggle(name)}
          remove={() => remove(name)}
        />
      ))}
    </div>
  );
}

/** The values as a query has them: spans of time have their unit. */
function asWritten(name: string, facet: Facet): Facet {
  if (fieldInfo(name)?.kind !== "duration") return facet;
  return { ...facet, values: facet.values.map(({ value, events }) => ({ value: value && `${value}ns`, events })) };
}

interface FacetProps {
  name: string;
  facet: Facet | undefined;
  asked: Asked<Facet[]>;
  open: boolean;
  toggle: () => void;
  remove: () => void;
}

function FacetOf({ name, facet, asked, open, toggle, remove }: FacetProps) {
  const [search, setSearch] = useState<string | null>(null);
  const [all, setAll] = useState(false);
  const state = chosen(query.value, namesOf(name));
  const active = state.values.length + state.excluded.length + (state.absent ? 1 : 0);
  return (
    <section class="facet">
      <h3>
        <button type="button" class="facet-title" aria-expanded={open} onClick={toggle} title={fieldInfo(name)?.description}>
          <Icon name={open ? "chevron" : "right"} />
          <span>{name}</span>
          {active > 0 && <span class="badge">{active}</span>}
          {facet && <span class="facet-distinct">{shortCount(facet.distinct)}</span>}
        </button>
        <span class="facet-tools">
          {active > 0 && (
            <button type="button" aria-label={`Clear ${name}`} title="Clear" onClick={() => ask({ q: choose(query.value, namesOf(name), []) })}>
              <Icon name="refresh" />
            </button>
          )}
          <button type="button" aria-label={`Search in ${name}`} title="Search in the values" aria-pressed={search !== null} onClick={() => setSearch(search === null ? "" : null)}>
            <Icon name="search" />
          </button>
          <button type="button" aria-label={`Remove ${name}`} title="Remove this field" onClick={remove}>
            <Icon name="close" />
          </button>
        </span>
      </h3>
      {open && search !== null && (
        <input
          class="facet-search"
          type="search"
          autofocus
          value={search}
          placeholder={`Search in ${name}`}
          aria-label={`Search in the values of ${name}`}
          onInput={(event) => setSearch(event.currentTarget.value)}
        />
      )}
      {open && (search ? <Found name={name} search={search} /> : facet ? <Values name={name} facet={facet} all={all} more={() => setAll(true)} retry={asked.retry} /> : asked.error ? null : <Skeleton lines={3} />)}
    </section>
  );
}

/** The values that have a text in them, of all that there are. */
function Found({ name, search }: { name: string; search: string }) {
  const text = fieldInfo(name)?.kind === "text" || fieldInfo(name)?.kind === "any";
  const shape = text ? and(scope.value.q, `${name}:*${search.replace(/[^\p{L}\p{N}_/@-]/gu, "?")}*`) : scope.value.q;
  const asked = useAnswer<Facet[]>("facets", { ...scope.value, q: shape, fields: name, limit: 100 });
  const facet = asked.data?.answer[0];
  if (asked.error) return <ErrorNote error={asked.error} retry={asked.retry} />;
  if (!facet) return <Skeleton lines={3} />;
  const values = facet.values.filter(({ value }) => value?.toLowerCase().includes(search.toLowerCase()));
  if (!values.length) return <p class="hint facet-none">No value with “{search}”</p>;
  return <Values name={name} facet={{ ...facet, values }} all retry={asked.retry} />;
}

function Values(props: { name: string; facet: Facet; all: boolean; more?: () => void; retry: () => void }) {
  const { name } = props;
  const facet = asWritten(name, props.facet);
  const names = namesOf(name);
  const state = chosen(query.value, names);
  // What was chosen stays in sight, also where nothing has it.
  const missing = state.values.filter((value) => !facet.values.some((one) => one.value === value) && !/[*?]|\.\./.test(value));
  const values = [...facet.values, ...missing.map((value) => ({ value, events: NaN }))];
  const shown = props.all ? values : values.filter(({ value }, at) => at < FIRST || state.values.includes(value ?? ""));
  const most = Math.max(1, ...facet.values.map(({ events }) => events));
  const toggle = (value: string | null, on: boolean): void => {
    const next = value === null ? (on ? [null] : []) : on ? [...state.values, value] : state.values.filter((known) => known !== value);
    ask({ q: choose(query.value, names, next) });
  };
  return (
    <>
      <ul>
        {shown.map(({ value, events }) => {
          const on = value === null ? state.absent : state.values.includes(value);
          const off = value !== null && state.excluded.includes(value);
          return (
            <li key={value} class={off ? "excluded" : ""}>
              <label title={visible(value ?? "without this field")}>
                <input type="checkbox" checked={on} onChange={(event) => toggle(value, event.currentTarget.checked)} />
                <span class={`facet-value ${value === null ? "muted" : toned(name, value)}`}>
                  {value === null ? "none" : <Text text={shownValue(name, value)} limit={60} />}
                </span>
                {events >= 0 && (
                  <>
                    <span class="facet-count">{shortCount(events)}</span>
                    <i class="facet-bar" style={{ width: `${(events / most) * 100}%` }} />
                  </>
                )}
              </label>
              <button
                type="button"
                class="facet-out"
                aria-label={`Filter out ${visible(value ?? "events without it", 80)}`}
                title="Filter out"
                onClick={() => ask({ q: and(query.value, value === null ? `${name}:*` : `-${name}:${quoted(value)}`) })}
              >
                <Icon name="minus" />
              </button>
            </li>
          );
        })}
      </ul>
      {!facet.values.length && !incomplete(facet.partial) && <p class="hint facet-none">No events</p>}
      {values.length > shown.length && props.more && (
        <button type="button" class="more" onClick={props.more}>
          {values.length - shown.length} more
        </button>
      )}
      {props.all && facet.distinct > facet.values.length && (
        <p class="hint facet-none">{count(facet.distinct - facet.values.length)} more values; search finds them</p>
      )}
      {incomplete(facet.partial) && (
        <p class="facet-partial" title={partialText(facet.partial)}>
          <Icon name="warning" /> {facet.partial.reasons.includes("time limit") ? "Not finished in time" : "Incomplete"}
          <button type="button" class="more" onClick={props.retry}>
            try again
          </button>
        </p>
      )}
    </>
  );
}

const shownValue = (name: string, value: string): string => (fieldInfo(name)?.kind === "duration" ? display(name, parseInt(value)) : value);
const toned = (name: string, value: string): string => toneOf(name, fieldInfo(name)?.kind === "status" ? Number(value) : value);

function AddFacet({ add }: { add: (name: string) => void }) {
  const [name, setName] = useState("");
  const known = config.value?.fields.filter(({ kind }) => kind !== "group" && kind !== "time") ?? [];
  const submit = (event: Event): void => {
    event.preventDefault();
    if (name.trim()) add(name.trim());
    setName("");
  };
  return (
    <form class="facet-add" onSubmit={submit}>
      <input list="fields" value={name} placeholder="Add a field" aria-label="Add a field to the facets" spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
      <button type="submit" class="button square" aria-label="Add the field" disabled={!name.trim()}>
        <Icon name="plus" />
      </button>
      <datalist id="fields">
        {known.map(({ name: field, description }) => (
          <option key={field} value={field}>
            {description}
          </option>
        ))}
      </datalist>
    </form>
  );
}
