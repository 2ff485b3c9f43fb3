// Who is behind a number of the funnel: each with when it took its steps, and a link to its page.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, ApiError, useAnswer } from "../../api";
import { ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Table, type Column } from "../../components/Table";
import { Text } from "../../components/Text";
import { pageHref, go } from "../../location";
import { count, counted } from "../../numbers";
import { Icon } from "../../shell/Icon";
import { moment, spanText } from "../../time";
import { NOUNS } from "../analysis/Form";
import { funnel, NO_LIST, ofSegment, outcome, segment, shown, unit } from "./state";
import type { AttemptPage, Funnel } from "./types";

type Attempt = AttemptPage["attempts"][number];

const PAGES = { session: "session", user: "user", person: "user", ip: "client" };
const LIMIT = 100;

export function Units({ answer }: { answer: Funnel }) {
  const step = Number(shown.value);
  const { breakdown, ...whole } = funnel.value!;
  const params = {
    ...whole,
    ...(ofSegment.value && { breakdown, value: segment.value }),
    step_index: step,
    outcome: outcome.value,
    limit: LIMIT,
  };
  const asked = useAnswer<AttemptPage>("funnel/units", params);
  const first = asked.data?.answer;
  const [grown, setGrown] = useState<{ of: AttemptPage; attempts: Attempt[]; next: string | null }>();
  const [error, setError] = useState<ApiError>();
  const card = useRef<HTMLElement>(null);
  useEffect(() => card.current?.scrollIntoView({ block: "nearest" }), [first]);
  const shownNow = grown && grown.of === first ? grown : first;
  const more = (): void => {
    setError(undefined);
    ask<AttemptPage>("funnel/units", { ...params, after: shownNow!.next })
      .then(({ answer: page }) => setGrown({ of: first!, attempts: [...shownNow!.attempts, ...page.attempts], next: page.next }))
      .catch((failed: unknown) => setError(failed instanceof ApiError ? failed : new ApiError(String(failed), 0)));
  };
  const noun = NOUNS[unit.value];
  const steps = ofSegment.value ? answer.segments.find(({ value, rest }) => !rest && (value ?? "") === segment.value)?.steps : answer.steps;
  const total = steps?.[step - 1]?.[outcome.value === "reached" ? "units" : "dropped"];
  return (
    <section ref={card} class="card" aria-label="Behind the number" tabIndex={-1}>
      <div class="list-head">
        <h2>
          {total === undefined ? "" : `${counted(total, noun)} `}
          {outcome.value === "reached" ? `that reached step ${step}` : `that came no further than step ${step}`}
          {ofSegment.value &&
            (segment.value ? (
              <>
                {" "}
                with <Text text={segment.value} limit={60} />
              </>
            ) : (
              " with none"
            ))}
        </h2>
        <button type="button" class="button quiet small" onClick={() => go(NO_LIST)}>
          <Icon name="close" /> Close
        </button>
      </div>
      <ErrorNote error={asked.error ?? error} retry={asked.retry} />
      <PartialNote partial={first?.partial} retry={asked.retry} what="The list" />
      {shownNow ? (
        <>
          <Table
            label={`The ${noun}s`}
            columns={columns(outcome.value === "reached" ? answer.steps.length : step)}
            rows={shownNow.attempts}
            rowKey={({ unit: name }) => name}
          />
          <p class="grow">
            {shownNow.next && (
              <button type="button" class="button" onClick={more}>
                Show more
              </button>
            )}
            <span class="hint" role="status">
              {count(shownNow.attempts.length)}
              {total !== undefined && ` of ${counted(total, noun)}`} shown
            </span>
          </p>
        </>
      ) : (
        asked.busy && <Skeleton lines={6} />
      )}
    </section>
  );
}

function columns(steps: number): Column<Attempt>[] {
  const title = { session: "Session", user: "User", person: "User", ip: "Client" }[unit.value];
  return [
    {
      key: "unit",
      title,
      cell: ({ unit: name }) => (
        <a href={pageHref(PAGES[unit.value], { id: name, stitched: unit.value === "person" })}>
          <Text text={name} limit={60} />
        </a>
      ),
    },
    { key: "began", title: "Step 1", cell: ({ times }) => <span class="nowrap">{moment(times[0]!, 0)}</span>, sort: ({ times }) => times[0]! },
    ...Array.from({ length: steps - 1 }, (_, at): Column<Attempt> => {
      const took = ({ times }: Attempt): number | null => (times[at + 1] ? (+new Date(times[at + 1]!) - +new Date(times[at]!)) / 1000 : null);
      return {
        key: `step-${at}`,
        title: `Step ${at + 2}`,
        numeric: true,
        sort: (row) => took(row) ?? Infinity,
        cell: (row) => {
          const seconds = took(row);
          return seconds === null ? <span class="muted">–</span> : `+${spanText(Number(seconds.toPrecision(3)))}`;
        },
      };
    }),
  ];
}
