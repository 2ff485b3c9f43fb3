// Funnels: how many came through a few steps, where the others stayed, and who they are.
import { useAnswer } from "../../api";
import { Empty } from "../../components/State";
import { Table, type Column } from "../../components/Table";
import { Text } from "../../components/Text";
import { go, href } from "../../location";
import { count, counted, percent } from "../../numbers";
import { Icon } from "../../shell/Icon";
import { spanText } from "../../time";
import { Check, Entry, Head, NOUNS, Select, UNITS } from "../analysis/Form";
import { QueryField } from "../analysis/QueryField";
import { Result, WithoutUnit } from "../analysis/Result";
import { breakdown, funnel, listHref, MOST_STEPS, setSteps, shown, span, steps, strict, unit } from "./state";
import type { Funnel, Segment, Step } from "./types";
import { Units } from "./Units";

export function FunnelPage() {
  const asked = useAnswer<Funnel>(funnel.value && "funnel", funnel.value ?? {});
  return (
    <div class="content">
      <Head title="Funnel" />
      <Builder />
      {funnel.value ? (
        <Result asked={asked} what="The funnel">
          {(answer) => (
            <>
              <Bars answer={answer} />
              {breakdown.value && <Segments answer={answer} />}
              {shown.value && <Units answer={answer} />}
            </>
          )}
        </Result>
      ) : (
        <Empty icon="filter" title="How many come through?">
          <p>Write each step as a query: at least two, in the order in which they happen.</p>
          <div class="actions">
            <a class="button" href={href({ step: ["path:/cart", "path:/checkout", "event:order_paid"], unit: "session" })}>
              An example: from the cart to a paid order
            </a>
          </div>
        </Empty>
      )}
    </div>
  );
}

function Builder() {
  const { value: all } = steps;
  const moved = (from: number, to: number): string[] => {
    const rest = all.filter((_, at) => at !== from);
    rest.splice(to, 0, all[from]!);
    return rest;
  };
  const added = (): void => {
    go({ step: [...all, ""] });
    requestAnimationFrame(() => document.querySelector<HTMLElement>(".builder li:last-child input")?.focus());
  };
  return (
    <section class="card builder" aria-label="Steps">
      <ol>
        {all.map((step, at) => (
          <li key={at}>
            <span class="step-number">{at + 1}</span>
            <QueryField
              label={`Step ${at + 1}`}
              quiet
              value={step}
              placeholder={["path:/pricing", "path:/signup method:POST"][at] ?? "event:user_signed_up"}
              run={(query) => setSteps(all.map((known, place) => (place === at ? query : known)))}
            />
            <button
              type="button"
              class="button quiet small square"
              aria-label={`Move step ${at + 1} up`}
              disabled={at === 0}
              onClick={() => setSteps(moved(at, at - 1))}
            >
              <Icon name="up" />
            </button>
            <button
              type="button"
              class="button quiet small square"
              aria-label={`Move step ${at + 1} down`}
              disabled={at === all.length - 1}
              onClick={() => setSteps(moved(at, at + 1))}
            >
              <Icon name="chevron" />
            </button>
            <button
              type="button"
              class="button quiet small square"
              aria-label={`Remove step ${at + 1}`}
              disabled={all.length <= 2}
              onClick={() => setSteps(all.filter((_, place) => place !== at))}
            >
              <Icon name="close" />
            </button>
          </li>
        ))}
      </ol>
      <div class="tools">
        <button type="button" class="button" disabled={all.length >= MOST_STEPS} onClick={added}>
          <Icon name="plus" /> Add a step
        </button>
        <Select label="Of" name="unit" value={unit.value} options={UNITS} />
        <Entry
          label="Within"
          name="window"
          value={span.value}
          placeholder="any time"
          pattern="\s*(\d+(ms|s|m|h|d|w))*\s*"
          hint="A span such as 30m, 1h30m or 7d"
        />
        <Entry label="Break down by" name="breakdown" value={breakdown.value} placeholder="nothing" fields hint="A field, by its first value" />
        <Check label="Nothing in between" name="strict" value={strict.value} />
      </div>
    </section>
  );
}

function Bars({ answer }: { answer: Funnel }) {
  const noun = NOUNS[unit.value];
  const { length } = answer.steps;
  const through = answer.steps[length - 1]!;
  return (
    <section class="card" aria-label="Funnel">
      <p class="funnel-total">
        <strong>{through.overall === null ? "Nobody began" : percent(through.overall)}</strong>{" "}
        {through.overall !== null && `of ${counted(answer.steps[0]!.units, noun)} came through all ${length} steps`}
      </p>
      <ol class="funnel">
        {answer.steps.map((step, at) => (
          <Bar key={at} step={step} at={at} last={at === length - 1} noun={noun} />
        ))}
      </ol>
      <WithoutUnit events={answer.without_unit} unit={unit.value} />
    </section>
  );
}

function Bar({ step, at, last, noun }: { step: Step; at: number; last: boolean; noun: string }) {
  const { units, dropped, overall, conversion, median_seconds } = step;
  return (
    <li>
      <div class="funnel-step">
        <span class="step-number">{at + 1}</span>
        <code>
          <Text text={steps.value[at] ?? ""} limit={160} />
        </code>
      </div>
      <div class="funnel-bar" aria-hidden="true">
        <i style={{ width: `${(overall ?? 0) * 100}%` }} />
      </div>
      <p class="funnel-figures">
        <Drill of={units} address={listHref(at + 1, "reached")} what={`${noun}s at step ${at + 1}`} />
        {at === 0 ? <span>{units === 1 ? noun : `${noun}s`}</span> : <span>{overall === null ? "–" : percent(overall)} of all</span>}
        {at > 1 && conversion !== null && (
          <span>
            {percent(conversion)} of step {at}
          </span>
        )}
        {median_seconds !== null && <span class="muted">half within {spanText(Number(median_seconds.toPrecision(3)))}</span>}
      </p>
      {!last && (
        <p class="funnel-drop">
          <Icon name="chevron" />
          <Drill of={dropped} address={listHref(at + 1, "dropped")} what={`${noun}s that came no further than step ${at + 1}`} /> came no further
          {units > 0 && <span class="muted">{percent(dropped / units)}</span>}
        </p>
      )}
    </li>
  );
}

/** A number that leads to those whom it counts. */
function Drill({ of, address, what }: { of: number; address: string; what: string }) {
  return of ? (
    <a class="drill" href={address} aria-label={`${count(of)}: list the ${what}`}>
      {count(of)}
    </a>
  ) : (
    <span>0</span>
  );
}

const segmentName = ({ value, rest }: Segment) => (rest ? <em>all others</em> : value === null ? <em>none</em> : <Text text={value} limit={80} />);

/** Each number leads to those whom it counts, where the API can be asked for them: not of all others, nor of an empty text. */
function Segments({ answer }: { answer: Funnel }) {
  const noun = NOUNS[unit.value];
  const columns: Column<Segment>[] = [
    { key: "value", title: breakdown.value, cell: segmentName },
    ...answer.steps.map((_, at): Column<Segment> => ({
      key: `step-${at}`,
      title: `Step ${at + 1}`,
      numeric: true,
      sort: (row) => row.steps[at]!.units,
      cell: ({ value, rest, steps: [...own] }) => {
        const { units, overall } = own[at]!;
        return (
          <>
            {rest || value === "" ? (
              count(units)
            ) : (
              <Drill of={units} address={listHref(at + 1, "reached", value)} what={`${noun}s at step ${at + 1} with ${value ?? "none"}`} />
            )}
            {at > 0 && overall !== null && " "}
            {at > 0 && overall !== null && <small>{percent(overall)}</small>}
          </>
        );
      },
    })),
  ];
  return (
    <section aria-label="By segment">
      <Table label={`Steps by ${breakdown.value}`} columns={columns} rows={answer.segments} rowKey={(_, at) => at} />
    </section>
  );
}
