// The events: how many over time, by what they have in common, and one by one.
import { untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { useAnswer } from "../../api";
import { EventTable, narrow } from "../../components/EventTable";
import { Empty, ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { columnActions } from "../../components/Value";
import { focusRow } from "../../components/virtualRows";
import { config } from "../../config";
import { from, go, href, query, to } from "../../location";
import { counted } from "../../numbers";
import { Icon } from "../../shell/Icon";
import { isRelative } from "../../time";
import type { Context, Histogram } from "../../types";
import { ContextBar } from "./ContextBar";
import { Details } from "./Details";
import { Facets } from "./Facets";
import { LiveBar, LiveNote } from "./Live";
import { QueryBar } from "./QueryBar";
import { Rows } from "./rows";
import { useSelection, useTable } from "./selection";
import { addFacet, after, around, before, by, columns, drawer, filteredContext, live, order, reach, same, scope, selected, toggleColumn } from "./state";
import { Tail } from "./tail";
import { Timeline } from "./Timeline";
import { Pager, Toolbar } from "./Toolbar";

export function EventsPage() {
  const rows = useMemo(() => new Rows(), []);
  const arrived = useSignal(0);
  const tail = useMemo(() => new Tail(rows, (count) => (arrived.value += count)), []);
  const tick = useSignal(0);
  useLoading(rows, tail, tick);
  useEffect(() => {
    columnActions.value = { has: (name) => columns.value.includes(name), toggle: toggleColumn, group: addFacet };
    return () => {
      columnActions.value = null;
    };
  }, []);
  const histogram = useAnswer<Histogram | null>("histogram", { ...scope.value, by: by.value, at_most: narrow.value ? 40 : 120, tick: tick.value || null }, "then");
  return (
    <div class="events-page">
      <h1 class="offscreen">Audit events</h1>
      <QueryBar />
      {!around.value && <Timeline asked={histogram} />}
      <div class="events-body">
        <FacetColumn tick={tick.value} />
        {around.value ? <Around /> : <List rows={rows} tail={tail} arrived={arrived.value} />}
      </div>
    </div>
  );
}

/** Ask for the rows whenever the question changes, and follow what comes when the page is live. */
function useLoading(rows: Rows, tail: Tail, tick: { value: number }): void {
  const place = useComputed(() => ({ ...scope.value, order: order.value, after: after.value, before: before.value }));
  const key = useComputed(() => JSON.stringify([place.value, live.value, Boolean(around.value)]));
  const read = async (): Promise<void> => {
    tail.stop();
    await rows.load(place.value);
  };
  const follow = async (): Promise<void> => {
    // First from where on the tail goes on, then the rows up to there: what comes in between is in both.
    await tail.start(query.value, config.value?.tail ?? "poll");
    await rows.load({ ...place.peek(), order: "newest", after: null, before: null });
  };
  useSignalEffect(() => {
    void key.value;
    if (around.peek()) return;
    untracked(() => void (live.value ? follow() : read()));
  });
  useEffect(() => {
    const timer = setInterval(() => {
      if (live.value && !document.hidden && !tail.held.value) tick.value++;
    }, 10_000);
    return () => {
      clearInterval(timer);
      tail.stop();
      rows.stop();
    };
  }, []);
}

function FacetColumn({ tick }: { tick: number }) {
  return (
    <>
      {drawer.value && <button type="button" class="drawer-shade" aria-label="Close the filters" onClick={() => (drawer.value = false)} />}
      <div class={`facet-column ${drawer.value ? "open" : ""}`} role="region" aria-label="Filters" tabIndex={-1}>
        <button type="button" class="skip" onClick={() => document.querySelector<HTMLElement>(".events-main button")?.focus()}>
          Skip the filters
        </button>
        <div class="drawer-head">
          <h2>Filters</h2>
          <button type="button" class="button quiet square" aria-label="Close the filters" onClick={() => (drawer.value = false)}>
            <Icon name="close" />
          </button>
        </div>
        {(!narrow.value || drawer.value) && <Facets tick={tick} />}
      </div>
    </>
  );
}

function List({ rows, tail, arrived }: { rows: Rows; tail: Tail; arrived: number }) {
  const entries = rows.entries.value;
  const selection = useSelection(entries, () => rows.more());
  const table = useTable(selection);
  const { scroller } = selection;
  const isLive = live.value;
  useEffect(() => {
    scroller.current?.scrollTo(0, 0);
    selection.current.value = 0;
  }, [rows.asked.value]);
  useEffect(() => {
    if (isLive && selected.value) tail.held.value = true;
  }, [selected.value, isLive]);
  const release = (): void => {
    scroller.current?.scrollTo(0, 0);
    tail.release();
  };
  const scrolled = (top: number): void => {
    if (!isLive) return;
    if (top > 4) tail.held.value = true;
    else if (tail.held.value && !selected.value && !tail.waiting.value.length) tail.held.value = false;
  };
  const retry = (): void => void rows.load({ ...scope.value, order: order.value, after: after.value, before: before.value });
  return (
    <section class="events-main" aria-label="Events">
      <Toolbar rows={rows} held={tail.held.value}>{isLive && <LiveBar tail={tail} release={release} arrived={arrived} />}</Toolbar>
      {isLive && <LiveNote tail={tail} />}
      <ErrorNote error={rows.error.value ?? undefined} retry={retry} what="Events" />
      <PartialNote partial={rows.partial.value} retry={retry} what="Events" />
      {entries.length > 0 ? (
        <div class={`events-frame ${rows.busy.value === "first" ? "stale" : ""}`} onPointerDown={() => isLive && (tail.held.value = true)}>
          <EventTable
            {...table}
            label="Events; scrolls"
            entries={entries}
            order={order.value}
            onOrder={() => go({ order: order.value === "newest" ? "oldest" : null, after: null, before: null, live: null })}
            onEnd={() => void rows.more()}
            onScroll={scrolled}
            footer={<End rows={rows} />}
          />
        </div>
      ) : rows.busy.value ? (
        <Skeleton lines={14} />
      ) : rows.error.value ? null : (
        <NoEvents rows={rows} />
      )}
      {selected.value && <Details entry={selection.entry} onStep={(by) => void selection.step(by)} canStep={selection.canStep} />}
    </section>
  );
}

function End({ rows }: { rows: Rows }) {
  const older = order.value === "newest" ? "older" : "newer";
  const { value: next } = rows.next;
  if (rows.busy.value === "more") return <span class="muted">Loading {older} events…</span>;
  if (!next) return <span class="muted">No {older} events</span>;
  if (rows.canGrow())
    return (
      <button type="button" class="button small" onClick={() => void rows.more()}>
        Load {older} events
      </button>
    );
  return (
    <>
      <a class="button small" href={href({ after: next, before: null, live: null })}>
        Go on with {older} events
      </a>
      {narrow.value && <Pager rows={rows} />}
    </>
  );
}

function NoEvents({ rows }: { rows: Rows }) {
  const ranged = Boolean(from.value || to.value);
  return (
    <Empty title={rows.next.value ? "Nothing found so far" : live.value ? "Waiting for events" : "No event matches"}>
      {rows.next.value ? (
        <p>The search ended early, and goes on from there.</p>
      ) : query.value ? (
        <p>
          Nothing is found by <code>{query.value.slice(0, 200)}</code>
          {ranged && " in this range"}.
        </p>
      ) : ranged ? (
        <p>There is no event in this range.</p>
      ) : (
        <p>Events appear here as soon as the application writes the first one.</p>
      )}
      <div class="actions">
        {rows.next.value && (
          <a class="button primary" href={href({ after: rows.next.value, before: null })}>
            Go on with the search
          </a>
        )}
        {ranged && (
          <a class="button" href={href({ from: null, to: null, after: null, before: null })}>
            Search in all time
          </a>
        )}
        {query.value && (
          <a class="button" href={href({ q: null, after: null, before: null })}>
            Clear the query
          </a>
        )}
        {!ranged && !query.value && !live.value && (
          <a class="button" href={href({ live: true })}>
            Watch live
          </a>
        )}
      </div>
    </Empty>
  );
}

/** What happened around one event, with the same columns. */
function Around() {
  const id = around.value;
  const limits = filteredContext.value ? scope.value : {};
  const asked = useAnswer<Context>("context", { ...limits, id, before: reach.value, after: reach.value, same: same.value });
  const context = asked.data?.answer;
  const entries = useMemo(() => {
    const all = context ? [...context.before, ...(context.entry ? [context.entry] : []), ...context.after] : [];
    return order.value === "newest" ? all.reverse() : all;
  }, [context, order.value]);
  const selection = useSelection(entries);
  const table = useTable(selection);
  useEffect(() => {
    const at = entries.findIndex(({ event }) => event["id"] === id);
    if (at < 0) return;
    selection.current.value = at;
    focusRow(selection.scroller.current, at, table.roomy, "center");
  }, [entries]);
  return (
    <section class="events-main" aria-label="Events around one">
      <ContextBar context={context} />
      <ErrorNote error={asked.error} retry={asked.retry} />
      <PartialNote partial={context?.partial} retry={asked.retry} />
      {entries.length > 0 ? (
        <div class={`events-frame ${asked.busy ? "stale" : ""}`}>
          <EventTable
            {...table}
            label="Events around one; scrolls"
            entries={entries}
            marked={id}
            order={order.value}
            onOrder={() => go({ order: order.value === "newest" ? "oldest" : null }, { replace: true })}
            footer={<span class="muted">{counted(entries.length - 1, "event")} around it</span>}
          />
        </div>
      ) : asked.busy || !context ? (
        !asked.error && <Skeleton lines={12} />
      ) : (
        <Empty title="There is no such event">
          <div class="actions">
            <a class="button" href={href({ around: null })}>
              Back to all events
            </a>
          </div>
        </Empty>
      )}
      {selected.value && <Details entry={selection.entry} onStep={(by) => void selection.step(by)} canStep={selection.canStep} />}
    </section>
  );
}

/** Live goes on to the present: an end in the past makes no sense with it. */
export function toggleLive(): void {
  const on = !live.peek();
  const ended = Boolean(to.peek()) && !isRelative(to.peek());
  go({ live: on, ...(on && { after: null, before: null, order: null, sel: null, around: null, ...(ended && { to: null }) }) });
}
