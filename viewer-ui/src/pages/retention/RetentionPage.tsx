// Retention: of those who began in a day or a week, how many came back in each of the following ones.
import { useAnswer } from "../../api";
import { Empty } from "../../components/State";
import { choice, flag, from, go, href, query, text, to } from "../../location";
import { count, counted } from "../../numbers";
import { day, zone } from "../../time";
import type { Partial } from "../../types";
import { Head, NOUNS, Segments, Select, UNITS } from "../analysis/Form";
import { QueryField } from "../analysis/QueryField";
import { Result, WithoutUnit } from "../analysis/Result";

interface Cell {
  units: number;
  share: number | null;
  complete: boolean;
}

interface Cohort {
  period: { start: string; end: string; complete: boolean };
  units: number;
  cells: Cell[];
}

interface Retention {
  cohorts: Cohort[];
  without_unit: number;
  partial: Partial | null;
}

const start = text("start");
const returning = text("returning");
const unit = choice("unit", ["user", "session", "person", "ip"]);
const who = choice("who", ["first", "any"]);
const period = choice("period", ["day", "week", "month"]);
const show = choice("show", ["share", "count"]);
const wide = flag("wide");

/** Of a long range, so many periods are shown at first: each is a column. */
const COLUMNS = 40;

export function RetentionPage() {
  const asked = useAnswer<Retention>("retention", {
    q: query.value,
    from: from.value,
    to: to.value,
    tz: zone.value,
    start: start.value,
    returning: returning.value,
    unit: unit.value,
    first_time: who.value === "first" ? "1" : "0",
    period: period.value,
  });
  return (
    <div class="content">
      <Head title="Retention" />
      <section class="card tools" aria-label="Who came back">
        <QueryField label="Who did" value={start.value} placeholder="anything" run={(value) => go({ start: value })} />
        <QueryField label="and came back to do" value={returning.value} placeholder="anything" run={(value) => go({ returning: value })} />
        <Select label="Of" name="unit" value={unit.value} options={UNITS} />
        <Segments label="When they did" name="who" value={who.value} options={{ first: "First time", any: "Any time" }} />
        <Segments label="By" name="period" value={period.value} options={{ day: "Day", week: "Week", month: "Month" }} />
        <Segments label="Show" name="show" value={show.value} options={{ share: "%", count: "Number" }} />
      </section>
      <Result asked={asked} what="Retention">
        {(answer) =>
          answer.cohorts.some(({ units }) => units) ? (
            <Cohorts answer={answer} />
          ) : (
            <Empty title={`No ${NOUNS[unit.value]} began in this range`}>
              <p>Those who begin do what the first query asks for{who.value === "first" && ", for the first time ever"}.</p>
              <a class="button" href={href({ from: null, to: null, q: null, start: null })}>
                Anything, in all time
              </a>
            </Empty>
          )
        }
      </Result>
    </div>
  );
}

function Cohorts({ answer }: { answer: Retention }) {
  // Before the first one, nobody began: a range may begin long before the events do.
  const cohorts = answer.cohorts.slice(answer.cohorts.findIndex(({ units }) => units));
  const noun = NOUNS[unit.value];
  const longest = Math.max(...cohorts.map(({ cells }) => cells.length));
  const width = wide.value ? longest : Math.min(longest, COLUMNS);
  const numbers = Array.from({ length: width }, (_, at) => at);
  // Where all come back at once, such as in the period itself, colours would tell nothing of the others.
  const most = Math.max(0.01, ...cohorts.flatMap(({ cells }) => cells.slice(1).map(({ share }) => share ?? 0)));
  const name = { day: "Day", week: "Week", month: "Month" }[period.value];
  return (
    <section class="card" aria-label="Cohorts">
      <div class="table-scroll" role="region" aria-label="Cohorts; scrolls" tabIndex={0}>
        <table class="cohorts">
          <caption class="offscreen">
            Of the {noun}s that began in a {period.value}, how many came back after so many {period.value}s
          </caption>
          <thead>
            <tr>
              <th scope="col">{name === "Day" ? "Began on" : `Began in ${period.value} of`}</th>
              <th scope="col" class="numeric">
                {noun}s
              </th>
              {numbers.map((number) => (
                <th key={number} scope="col" class="numeric" aria-label={`${name} ${number}`}>
                  {number === 0 ? `${name} 0` : number}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <tr class="mean">
              <th scope="row">Together</th>
              <td class="numeric">{count(cohorts.reduce((sum, { units }) => sum + units, 0))}</td>
              {numbers.map((number) => (
                <CellOf key={number} cell={together(cohorts, number)} most={most} />
              ))}
            </tr>
            {cohorts.map(({ period: { start: begun, complete }, units, cells }) => (
              <tr key={begun}>
                <th scope="row">
                  {day(begun)}
                  {!complete && <span title="Not over yet, or not all of it in the range">*</span>}
                </th>
                <td class="numeric">{count(units)}</td>
                {numbers.map((number) => (
                  <CellOf key={number} cell={cells[number]} most={most} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {width < longest && (
        <p class="grow">
          <a class="button small" href={href({ wide: true })}>
            Show all {longest} {period.value}s
          </a>
        </p>
      )}
      <p class="hint">
        <b>*</b> and striped: the {period.value} is not over yet, or not all of it is in the range, so that there is more to come. “Together” leaves
        those out. {counted(cohorts.length, "cohort")}.
      </p>
      <WithoutUnit events={answer.without_unit} unit={unit.value} />
    </section>
  );
}

/** Of all cohorts for which this period is over. */
function together(cohorts: readonly Cohort[], number: number): Cell | undefined {
  const over = cohorts.filter(({ cells, units }) => units && cells[number]?.complete);
  const of = over.reduce((sum, { units }) => sum + units, 0);
  const units = over.reduce((sum, { cells }) => sum + cells[number]!.units, 0);
  return of ? { units, share: units / of, complete: true } : undefined;
}

function CellOf({ cell, most }: { cell: Cell | undefined; most: number }) {
  if (!cell || cell.share === null) return <td class="numeric muted">{cell ? "–" : ""}</td>;
  const { share, units, complete } = cell;
  const written = show.value === "count" ? count(units) : `${Math.round(share * 100)}%`;
  const heat = Math.min(1, share / most);
  return (
    <td
      class={`numeric heat ${complete ? "" : "incomplete"}`}
      style={{ "--heat": `${Math.round(heat * 50)}%` }}
      title={`${count(units)}, ${(share * 100).toFixed(1)} %`}
    >
      {written}
      {!complete && <span class="offscreen"> so far</span>}
    </td>
  );
}
