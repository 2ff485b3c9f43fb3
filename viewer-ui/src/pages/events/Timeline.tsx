// How many events match over time, over the whole range: drag to zoom, click a bucket or a class to filter.
import { useMemo } from "preact/hooks";
import type { Asked } from "../../api";
import { Chart } from "../../components/Chart";
import { ErrorNote, PartialNote, incomplete } from "../../components/State";
import { namesOf } from "../../config";
import { go, query } from "../../location";
import { count, counted } from "../../numbers";
import { choose, chosen, clause } from "../../querytext";
import { Icon } from "../../shell/Icon";
import { setRange } from "../../shell/RangePicker";
import { spanText } from "../../time";
import type { Histogram } from "../../types";
import { ask, by } from "./state";

const seconds = (time: string): number => +new Date(time) / 1000;
const iso = (time: number): string => new Date(Math.round(time * 1000)).toISOString();

export function Timeline({ asked }: { asked: Asked<Histogram | null> }) {
  const { data } = asked;
  const histogram = data?.answer;
  const names = Object.keys(histogram?.series ?? {});
  const edges = useMemo(() => histogram?.edges.map(seconds) ?? [], [histogram]);
  const series = useMemo(
    () => names.map((name) => ({ name, colour: `--${by.value}-${name}`, values: histogram!.series[name]! })),
    [histogram],
  );
  const totals = names.map((name) => histogram!.series[name]!.reduce((sum, value) => sum + value, 0));
  const total = totals.reduce((sum, value) => sum + value, 0);
  const partial = histogram?.partial;
  const covered = useMemo(
    () =>
      incomplete(partial)
        ? ([partial.covered_from ? seconds(partial.covered_from) : null, partial.covered_to ? seconds(partial.covered_to) : null] as const)
        : undefined,
    [histogram],
  );
  return (
    <section class={`timeline ${asked.busy && data ? "stale" : ""}`} aria-label="Events over time">
      <div class="timeline-head">
        <p class="total" role="status">
          {data ? (
            <>
              <strong>
                {count(total)}
                {incomplete(partial) && "+"}
              </strong>{" "}
              {total === 1 ? "event" : "events"}
              <span class="muted"> · {spanText(data.elapsed_ms / 1000)}</span>
              {histogram && total > 0 && <span class="muted"> · per {WIDTHS[histogram.width] ?? histogram.width}</span>}
            </>
          ) : asked.busy ? (
            <span class="muted">Counting…</span>
          ) : null}
        </p>
        <Legend names={names} totals={totals} />
        <div class="segmented" role="group" aria-label="Colours by">
          {(["status", "level"] as const).map((kind) => (
            <button key={kind} type="button" aria-pressed={by.value === kind} onClick={() => go({ by: kind === "status" ? null : kind }, { replace: true })}>
              {kind}
            </button>
          ))}
        </div>
      </div>
      <ErrorNote error={asked.error} retry={asked.retry} what="Events over time" />
      <PartialNote partial={partial} retry={asked.retry} what="Events over time" />
      {histogram && (
        <Chart
          label={`${counted(total, "event")} over time, by ${by.value}: ${names.map((name, at) => `${name} ${count(totals[at]!)}`).join(", ")}`}
          edges={edges}
          series={series}
          height={112}
          onRange={(from, to) => setRange(iso(from), iso(to))}
          onBucket={(at) => setRange(histogram.edges[at]!, histogram.edges[at + 1]!)}
          {...(covered && { covered })}
        />
      )}
      {!histogram && !asked.error && <div class="timeline-none">{data ? "No event in this range" : ""}</div>}
    </section>
  );
}

const WIDTHS: Record<string, string> = {
  "1s": "second", "1m": "minute", "1h": "hour", "1d": "day", "1w": "week", "1mo": "month", "1y": "year",
  "5s": "5 s", "10s": "10 s", "30s": "30 s", "5m": "5 min", "10m": "10 min", "30m": "30 min", "3h": "3 h", "6h": "6 h", "12h": "12 h",
};

/** The classes, each with its count: a click asks for it, another one for all again. */
function Legend({ names, totals }: { names: readonly string[]; totals: readonly number[] }) {
  const { value: text } = query;
  const fields = namesOf(by.value);
  const state = chosen(text, fields);
  return (
    <div class="legend" role="group" aria-label={`Filter by ${by.value}`}>
      {names.map((name, at) => {
        const none = name === "none";
        const pressed = none ? state.absent : state.values.includes(name);
        const others = state.values.filter((value) => value !== name);
        const next = none ? (pressed ? [] : [null]) : pressed ? others : [...state.values, name];
        return (
          <button
            key={name}
            type="button"
            aria-pressed={pressed}
            title={pressed ? `Take ${name} out of the query` : `Filter for ${none ? clause(by.value, null) : `${by.value}:${name}`}`}
            onClick={() => ask({ q: choose(text, fields, next) })}
          >
            <i class="swatch" style={{ background: `var(--${by.value}-${name})` }} />
            {none ? `no ${by.value}` : name}
            <span class="muted">{count(totals[at]!)}</span>
            {pressed && <Icon name="close" />}
          </button>
        );
      })}
    </div>
  );
}
