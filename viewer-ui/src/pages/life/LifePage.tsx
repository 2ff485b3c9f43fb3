// All that one user, session or client did, in sessions, with the pauses between them.
import type { ComponentChildren } from "preact";
import { computed } from "@preact/signals";
import { Fragment } from "preact";
import { useMemo } from "preact/hooks";
import { useAnswer } from "../../api";
import { Chart } from "../../components/Chart";
import { Empty, ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Text } from "../../components/Text";
import { pageOf, Value } from "../../components/Value";
import { choice, flag, go, href, pageHref, text } from "../../location";
import { count, counted } from "../../numbers";
import { clause } from "../../querytext";
import { Icon } from "../../shell/Icon";
import { useKeys } from "../../shell/keys";
import { ago, clock, day, fromWall, moment, shortMoment, spanText, zone } from "../../time";
import type { Facet, Histogram } from "../../types";
import { Check, Segments } from "../analysis/Form";
import { QueryField } from "../analysis/QueryField";
import { Working } from "../analysis/Working";
import { EventRow, useRowKeys } from "./EventRow";
import { useLife, type Life, type Timeline } from "./useLife";
import { PAUSE_SECONDS, visits, type Visit } from "./visits";

const id = text("id");
const wanted = text("at");
/** The day to go to; what is no day is none. */
const at = computed(() => (fromWall(wanted.value) ? wanted.value : ""));
const only = text("only");
const stitched = flag("stitched");
const orders = { newest: choice("order", ["newest", "oldest"]), oldest: choice("order", ["oldest", "newest"]) };

export interface LifeKind {
  /** What the API calls it, and a query. */
  of: "user" | "session" | "client";
  field: string;
  title: string;
  /** What of it is worth knowing at a glance. */
  facets: readonly string[];
  /** What one reads first. */
  order: "newest" | "oldest";
}

export function LifePage({ kind }: { kind: LifeKind }) {
  useRowKeys();
  useKeys([{ key: "/", told: "Filter the timeline", run: () => document.querySelector<HTMLElement>(".life-main .query-input input")?.focus() }]);
  const order = orders[kind.order].value;
  const stitch = kind.of === "user" && stitched.value;
  const start = fromWall(at.value);
  const end = start && new Date(+start + 86_400_000);
  const range = order === "oldest" ? { from: start?.toISOString() } : { to: end?.toISOString() };
  const life = useLife(kind.of, { id: id.value, q: only.value, stitched: stitch, tz: zone.value }, order, range);
  const told = life.asked.data?.answer.life;
  if (!id.value)
    return (
      <Empty title={`Which ${kind.title.toLowerCase()}?`}>
        <p>Choose one where events show it, by a click on its name.</p>
        <a class="button primary" href={pageHref("events")}>
          Go to the events
        </a>
      </Empty>
    );
  return (
    <div class="content">
      <div class="page-title">
        <h1>
          {kind.title} <Value field={kind.field} value={id.value} limit={80} />
        </h1>
        <Working />
        <a class="button" href={pageHref("events", { q: clause(kind.field, id.value), from: null, to: null })}>
          <Icon name="rows" /> Show as events
        </a>
      </div>
      <ErrorNote error={life.asked.error} retry={life.asked.retry} />
      {told ? <Facts kind={kind} life={told} /> : !life.asked.error && <Skeleton lines={3} />}
      {told && told.events === 0 ? (
        <Nobody kind={kind} />
      ) : (
        <div class="life">
          <section class="card life-main" aria-label="Timeline">
            <Tools kind={kind} order={order} />
            <Shown life={life} order={order} kind={kind} />
          </section>
          <aside class="life-side" aria-label="Most frequent">
            <Frequent kind={kind} />
          </aside>
        </div>
      )}
    </div>
  );
}

const Nobody = ({ kind }: { kind: LifeKind }) => (
  <Empty title={`There is no event of this ${kind.title.toLowerCase()}`}>
    <p>It may have been removed by the retention, or you may not see it.</p>
    <a class="button" href={pageHref("events", { q: null })}>
      Go to the events
    </a>
  </Empty>
);

function Facts({ kind, life }: { kind: LifeKind; life: NonNullable<Timeline["life"]> }) {
  const { events, first, last } = life;
  const end = (time: string, order: "newest" | "oldest"): ComponentChildren => (
    <a href={href({ order, at: null })} title={`Show the ${order === "oldest" ? "first" : "last"} events`}>
      <time dateTime={time}>{moment(time, 0)}</time>
    </a>
  );
  return (
    <>
      <PartialNote partial={life.partial} what="The figures" />
      <dl class="figures">
        <Fact name="Events">{count(events)}</Fact>
        {first && last && (
          <>
            <Fact name="First seen" detail={ago(first)}>
              {end(first, "oldest")}
            </Fact>
            <Fact name="Last seen" detail={ago(last)}>
              {end(last, "newest")}
            </Fact>
            <Fact name={kind.of === "session" ? "Lasted" : "In between"}>{spanText((+new Date(last) - +new Date(first)) / 1000)}</Fact>
          </>
        )}
      </dl>
      {kind.of !== "session" && first && last && first < last && <Activity kind={kind} first={first} last={last} />}
    </>
  );
}

export const Fact = ({ name, detail, children }: { name: string; detail?: ComponentChildren; children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>
      {children} {detail && <small>{detail}</small>}
    </dd>
  </div>
);

/** When there were events, from the first to the last: a click leads there. */
function Activity({ kind, first, last }: { kind: LifeKind; first: string; last: string }) {
  const behind = new Date(+new Date(last) + 1).toISOString();
  const asked = useAnswer<Histogram | null>("histogram", { q: clause(kind.field, id.value), from: first, to: behind, by: "status", tz: zone.value, at_most: 90 });
  const histogram = asked.data?.answer;
  const edges = useMemo(() => histogram?.edges.map((edge) => +new Date(edge) / 1000) ?? [], [histogram]);
  const series = useMemo(
    () => Object.entries(histogram?.series ?? {}).map(([name, values]) => ({ name, colour: `--status-${name}`, values })),
    [histogram],
  );
  return (
    <section class="card" aria-label="Activity">
      <ErrorNote error={asked.error} retry={asked.retry} />
      <PartialNote partial={histogram?.partial} retry={asked.retry} what="Activity" />
      {histogram ? (
        <Chart
          label="Events over all time"
          edges={edges}
          series={series}
          height={72}
          onBucket={(bucket) => go({ at: day(histogram.edges[bucket]!), order: "oldest" })}
        />
      ) : (
        <div class="chart-room" />
      )}
    </section>
  );
}

function Tools({ kind, order }: { kind: LifeKind; order: "newest" | "oldest" }) {
  return (
    <div class="tools">
      <Segments label="Order" name="order" value={order} options={{ newest: "Newest first", oldest: "Oldest first" }} />
      {kind.of !== "session" && (
        <label class="choose across">
          <span>Go to</span>
          <input type="date" value={at.value} onChange={(event) => go({ at: event.currentTarget.value })} />
        </label>
      )}
      {kind.of === "user" && <Check label="With what was done before logging in" name="stitched" value={stitched.value} />}
      <QueryField label="Only events that match" quiet value={only.value} placeholder="Filter, such as status:>=400" run={(q) => go({ only: q })} />
    </div>
  );
}

function Shown({ life, order, kind }: { life: Life; order: "newest" | "oldest"; kind: LifeKind }) {
  const { asked, entries } = life;
  const found = useMemo(() => visits(entries, order), [entries, order]);
  if (!asked.data) return asked.busy ? <Skeleton lines={10} /> : null;
  return (
    <div class={asked.busy ? "stale" : ""}>
      <PartialNote partial={life.partial} retry={asked.retry} what="The timeline" />
      {at.value && (
        <p class="jumped">
          {order === "oldest" ? "From" : "Up to"} {at.value}
          <a class="button small quiet" href={href({ at: null })}>
            <Icon name="close" /> All of it
          </a>
        </p>
      )}
      {life.more.before && <Grow life={life} end="before" label={order === "oldest" ? "Earlier events" : "Later events"} />}
      {found.map((visit, number) => (
        <VisitCard key={visit.entries[0]!.cursor} visit={visit} order={order} kind={kind} last={number === found.length - 1} />
      ))}
      {entries.length === 0 && (
        <Empty title={at.value ? `Nothing ${order === "oldest" ? "from" : "up to"} ${at.value}${order === "oldest" ? " on" : ""}` : "No event matches"}>
          <a class="button" href={href({ at: null, only: null })}>
            Show all of it
          </a>
        </Empty>
      )}
      <ErrorNote error={life.error} />
      {life.more.after ? (
        <Grow life={life} end="after" label={order === "oldest" ? "Later events" : "Earlier events"} />
      ) : (
        entries.length > 0 && <p class="hint the-end">{order === "oldest" ? "The last event" : "The first event"}. {counted(entries.length, "event")} shown.</p>
      )}
    </div>
  );
}

const Grow = ({ life, end, label }: { life: Life; end: "before" | "after"; label: string }) => (
  <p class="grow">
    <button type="button" class="button" disabled={life.busy !== null} onClick={() => life.grow(end)}>
      {life.busy === end ? "Loading…" : label}
    </button>
    <span class="hint">{counted(life.entries.length, "event")} shown</span>
  </p>
);

function Gap({ seconds }: { seconds: number | null }) {
  if (seconds === null || seconds < PAUSE_SECONDS) return null;
  return (
    <p class="gap">
      <span>nothing for {spanText(seconds)}</span>
    </p>
  );
}

function VisitCard({ visit, order, kind, last }: { visit: Visit; order: "newest" | "oldest"; kind: LifeKind; last: boolean }) {
  const { session, entries, since, until } = visit;
  const [start, end] = [new Date(since), new Date(until)];
  const sameDay = day(start) === day(end);
  const address = session && kind.of !== "session" ? pageOf("session", session) : null;
  return (
    <>
      {order === "oldest" && <Gap seconds={visit.gap} />}
      <section class="visit">
        <h2>
          {day(start)} <span class="muted">{clock(start)} – {sameDay ? clock(end) : shortMoment(end)}</span>
        </h2>
        <p class="visit-facts">
          {counted(entries.length, "event")}
          {until > since && ` in ${spanText(Math.round((until - since) / 1000) || (until - since) / 1000)}`}
          {address ? (
            <a href={address} title={session!.slice(0, 200)}>
              session <Text text={session!} limit={20} />
            </a>
          ) : (
            kind.of !== "session" && <span class="muted">no session</span>
          )}
        </p>
        <ol>
          {entries.map(({ cursor, event }, at) => {
            const today = day(String(event["timestamp"]));
            return (
              <Fragment key={cursor}>
                {!sameDay && (!at || today !== day(String(entries[at - 1]!.event["timestamp"]))) && <li class="visit-day">{today}</li>}
                <EventRow event={event} />
              </Fragment>
            );
          })}
        </ol>
      </section>
      {order === "newest" && !last && <Gap seconds={visit.gap} />}
    </>
  );
}

function Frequent({ kind }: { kind: LifeKind }) {
  const asked = useAnswer<Facet[]>("facets", { q: clause(kind.field, id.value), fields: kind.facets.join(","), limit: 6, tz: zone.value });
  if (!asked.data) return asked.error ? <ErrorNote error={asked.error} retry={asked.retry} /> : <Skeleton lines={8} />;
  return (
    <>
      {asked.data.answer.map(({ field, values, distinct, partial }) => {
        const known = values.filter(({ value }) => value !== null);
        if (!known.length && field !== "user") return null;
        return (
          <section key={field} class="card">
            <h2>
              {TITLES[field] ?? field} {distinct > values.length && <small>of {count(distinct)}</small>}
            </h2>
            <PartialNote partial={partial} />
            <ul class="ranking">
              {known.map(({ value, events }) => (
                <li key={value}>
                  {pageOf(field, value!) ? (
                    <a href={pageOf(field, value!)!}>
                      <Text text={value!} limit={40} />
                    </a>
                  ) : (
                    <Value field={field} value={value} limit={90} />
                  )}
                  <span class="numeric">{count(events)}</span>
                </li>
              ))}
              {known.length === 0 && <li class="muted">none</li>}
            </ul>
          </section>
        );
      })}
    </>
  );
}

const TITLES: Record<string, string> = { name: "Name", user: "Users", session: "Sessions", ip: "Clients", agent: "User agents", event: "Events", status: "Status", service: "Services", path: "Paths" };
