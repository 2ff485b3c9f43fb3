// What is told of a whole life: how many events, from when to when, and when in between.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { useAnswer } from "../../api";
import { Chart } from "../../components/Chart";
import { ErrorNote, PartialNote } from "../../components/State";
import { go, href } from "../../location";
import { count } from "../../numbers";
import { clause } from "../../querytext";
import { ago, day, moment, spanText, zone } from "../../time";
import type { Histogram } from "../../types";
import { id, type LifeKind } from "./state";
import type { Timeline } from "./useLife";

export function Facts({ kind, life }: { kind: LifeKind; life: NonNullable<Timeline["life"]> }) {
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
  const asked = useAnswer<Histogram | null>("histogram", {
    q: clause(kind.field, id.value),
    from: first,
    to: behind,
    by: "status",
    tz: zone.value,
    at_most: 90,
  });
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
