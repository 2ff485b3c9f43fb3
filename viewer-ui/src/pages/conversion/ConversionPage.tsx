// Conversion over time: of how many, how many reached a goal, period by period.
import { useMemo } from "preact/hooks";
import { useAnswer } from "../../api";
import { Chart } from "../../components/Chart";
import { Empty } from "../../components/State";
import { Table, type Column } from "../../components/Table";
import { Text } from "../../components/Text";
import { choice, from, go, href, query, text, to } from "../../location";
import { count, percent } from "../../numbers";
import { setRange } from "../../shell/RangePicker";
import { shortMoment, zone } from "../../time";
import type { Partial } from "../../types";
import { Entry, Head, NOUNS, Segments, Select, UNITS } from "../analysis/Form";
import { QueryField } from "../analysis/QueryField";
import { Result } from "../analysis/Result";

interface Rate {
  base: number;
  converted: number;
  goals: number;
}

interface Series {
  value: string | null;
  rest: boolean;
  overall: Rate;
  rates: Rate[];
}

interface Conversion {
  periods: { start: string; end: string; complete: boolean }[];
  total: Series;
  segments: Series[];
  without_unit: number;
  partial: Partial | null;
}

const goal = text("goal");
const base = text("base");
const unit = choice("unit", ["session", "user", "person", "ip", "event"]);
const period = choice("period", ["day", "hour", "week", "month"]);
const breakdown = text("breakdown");

/** How many segments the chart has lines for. */
const LINES = 4;

export function ConversionPage() {
  const params = {
    q: query.value,
    from: from.value,
    to: to.value,
    tz: zone.value,
    goal: goal.value,
    base: base.value,
    unit: unit.value,
    period: period.value,
    breakdown: breakdown.value,
  };
  const asked = useAnswer<Conversion>(goal.value ? "conversion" : null, params);
  return (
    <div class="content">
      <Head title="Conversion" />
      <section class="card tools" aria-label="Of what">
        <QueryField label="Goal" value={goal.value} placeholder="event:user_signed_up" run={(value) => go({ goal: value })} />
        <QueryField label="of those with" value={base.value} placeholder="anything" run={(value) => go({ base: value })} />
        <Select label="Of" name="unit" value={unit.value} options={{ ...UNITS, event: "Events" }} />
        <Segments label="By" name="period" value={period.value} options={{ hour: "Hour", day: "Day", week: "Week", month: "Month" }} />
        <Entry label="Break down by" name="breakdown" value={breakdown.value} placeholder="nothing" fields />
      </section>
      {goal.value ? (
        <Result asked={asked} what="Conversion">
          {(answer) => (answer.periods.length ? <Rates answer={answer} /> : <Empty title="There is no event in this range" />)}
        </Result>
      ) : (
        <Empty icon="check" title="What is the goal?">
          <p>Write it as a query: a page that is reached, or an event of the application.</p>
          <div class="actions">
            <a class="button" href={href({ goal: "event:user_signed_up" })}>
              An example: who signed up
            </a>
          </div>
        </Empty>
      )}
    </div>
  );
}

const share = ({ base: of, converted }: Rate): number | null => (of ? converted / of : null);
const shareText = (rate: Rate): string => (share(rate) === null ? "–" : percent(share(rate)!));
const nameOf = ({ value, rest }: Series): string => (rest ? "all others" : (value ?? "none"));

function Rates({ answer }: { answer: Conversion }) {
  const { periods, total, segments } = answer;
  const edges = useMemo(() => [...periods.map(({ start }) => start), periods.at(-1)!.end].map((time) => +new Date(time) / 1000), [answer]);
  const series = useMemo(
    () =>
      [total, ...segments.slice(0, LINES)].map((one, at) => ({
        name: at ? nameOf(one).slice(0, 60) : "all",
        colour: `--series-${at + 1}`,
        values: one.rates.map((rate) => (share(rate) === null ? null : share(rate)! * 100)),
      })),
    [answer],
  );
  const noun = `${NOUNS[unit.value]}s`;
  return (
    <>
      <section class="card" aria-label="Rate over time">
        <p class="funnel-total">
          <strong>{shareText(total.overall)}</strong> {count(total.overall.converted)} of {count(total.overall.base)} {noun}
        </p>
        {segments.length > 0 && (
          <p class="key">
            {series.map(({ name, colour }) => (
              <span key={name}>
                <i class="swatch" style={{ background: `var(${colour})` }} /> <Text text={name} limit={40} />
              </span>
            ))}
          </p>
        )}
        <Chart
          label={`Rate over time; ${shareText(total.overall)} of the whole range`}
          kind="lines"
          edges={edges}
          series={series}
          height={180}
          format={(value) => `${Number(value.toPrecision(3))} %`}
          onRange={(start, end) => setRange(new Date(start * 1000).toISOString(), new Date(end * 1000).toISOString())}
          onBucket={(at) => setRange(periods[at]!.start, periods[at]!.end)}
        />
      </section>
      {segments.length > 0 && <Table label={`By ${breakdown.value}`} columns={segmentColumns} rows={segments} rowKey={(_, at) => at} />}
      <Periods answer={answer} noun={noun} />
    </>
  );
}

const segmentColumns: Column<Series>[] = [
  { key: "value", title: "Segment", cell: (one) => (one.value === null ? <em>{nameOf(one)}</em> : <Text text={one.value} limit={80} />) },
  { key: "rate", title: "Rate", numeric: true, cell: ({ overall }) => shareText(overall), sort: ({ overall }) => share(overall) ?? -1 },
  { key: "converted", title: "Converted", numeric: true, cell: ({ overall }) => count(overall.converted), sort: ({ overall }) => overall.converted },
  { key: "base", title: "Of", numeric: true, cell: ({ overall }) => count(overall.base), sort: ({ overall }) => overall.base },
];

function Periods({ answer, noun }: { answer: Conversion; noun: string }) {
  const rows = answer.periods.map((one, at) => ({ ...one, rate: answer.total.rates[at]! })).reverse();
  const columns: Column<(typeof rows)[number]>[] = [
    {
      key: "start",
      title: { hour: "Hour", day: "Day", week: "Week of", month: "Month of" }[period.value],
      cell: ({ start, complete }) => (
        <>
          <span class="nowrap">{shortMoment(start)}</span> {!complete && <small>incomplete</small>}
        </>
      ),
      sort: ({ start }) => +new Date(start),
    },
    { key: "rate", title: "Rate", numeric: true, cell: ({ rate }) => shareText(rate), sort: ({ rate }) => share(rate) ?? -1 },
    { key: "converted", title: "Converted", numeric: true, cell: ({ rate }) => count(rate.converted), sort: ({ rate }) => rate.converted },
    { key: "base", title: `Of ${noun}`, numeric: true, cell: ({ rate }) => count(rate.base), sort: ({ rate }) => rate.base },
    { key: "goals", title: "Goal events", numeric: true, cell: ({ rate }) => count(rate.goals), sort: ({ rate }) => rate.goals },
  ];
  return (
    <>
      <Table label="By period" columns={columns} rows={rows} rowKey={({ start }) => start} />
      <p class="hint">
        Who converts in two periods counts in both, and once in the whole range.
        {answer.without_unit > 0 &&
          ` ${count(answer.without_unit)} events that match the goal belong to no ${NOUNS[unit.value]}, and are in no rate.`}
      </p>
    </>
  );
}
