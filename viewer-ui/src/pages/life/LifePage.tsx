// All that one user, session or client did, in sessions, with the pauses between them.
import { useMemo } from "preact/hooks";
import { Empty, ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Value } from "../../components/Value";
import { go, href, pageHref } from "../../location";
import { counted } from "../../numbers";
import { clause } from "../../querytext";
import { Icon } from "../../shell/Icon";
import { useKeys } from "../../shell/keys";
import { fromWall, zone } from "../../time";
import { Check, Segments } from "../analysis/Form";
import { QueryField } from "../analysis/QueryField";
import { Working } from "../analysis/Working";
import { useRowKeys } from "./EventRow";
import { Facts } from "./Facts";
import { Frequent } from "./Frequent";
import { at, id, only, orders, stitched, type LifeKind } from "./state";
import { useLife, type Life } from "./useLife";
import { VisitCard } from "./VisitCard";
import { visits, type Order } from "./visits";

export function LifePage({ kind }: { kind: LifeKind }) {
  useRowKeys();
  useKeys([{ key: "/", told: "Filter the timeline", run: () => document.querySelector<HTMLElement>(".life-main .query-input input")?.focus() }]);
  const order = orders[kind.order].value;
  const stitch = kind.of === "user" && stitched.value;
  const range = order === "oldest" ? { from: midnight(0) } : { to: midnight(1) };
  const life = useLife(kind.of, { id: id.value, q: only.value, stitched: stitch, tz: zone.value }, order, range);
  const told = life.asked.data?.answer.life;
  if (!id.value)
    return (
      <div class="content">
        <h1>{kind.title}</h1>
        <Empty title={`Which ${kind.title.toLowerCase()}?`}>
          <p>Choose one where events show it, by a click on its name.</p>
          <a class="button primary" href={pageHref("events")}>
            Go to the events
          </a>
        </Empty>
      </div>
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

/** When the day to go to begins, or so many days later. */
function midnight(later: number): string | undefined {
  const date = at.value && new Date(+new Date(`${at.value}T00:00Z`) + later * 86_400_000).toISOString().slice(0, 10);
  return (date && fromWall(date)?.toISOString()) || undefined;
}

const Nobody = ({ kind }: { kind: LifeKind }) => (
  <Empty title={`There is no event of this ${kind.title.toLowerCase()}`}>
    <p>It may have been removed by the retention, or you may not see it.</p>
    <a class="button" href={pageHref("events", { q: null })}>
      Go to the events
    </a>
  </Empty>
);

function Tools({ kind, order }: { kind: LifeKind; order: Order }) {
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

function Shown({ life, order, kind }: { life: Life; order: Order; kind: LifeKind }) {
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
        <Empty
          title={at.value ? `Nothing ${order === "oldest" ? "from" : "up to"} ${at.value}${order === "oldest" ? " on" : ""}` : "No event matches"}
        >
          <a class="button" href={href({ at: null, only: null })}>
            Show all of it
          </a>
        </Empty>
      )}
      <ErrorNote error={life.error} />
      {life.more.after ? (
        <Grow life={life} end="after" label={order === "oldest" ? "Later events" : "Earlier events"} />
      ) : (
        entries.length > 0 && (
          <p class="hint the-end">
            {order === "oldest" ? "The last event" : "The first event"}. {counted(entries.length, "event")} shown.
          </p>
        )
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
