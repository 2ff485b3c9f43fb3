// An answer as it is: refused, to come, in parts, or whole.
import type { ComponentChildren } from "preact";
import type { Asked } from "../../api";
import { ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Text } from "../../components/Text";
import { counted } from "../../numbers";
import type { Partial } from "../../types";
import { NOUNS, type Unit } from "./Form";

export function Result<T extends { partial?: Partial | null }>(props: { asked: Asked<T>; what: string; children: (answer: T) => ComponentChildren }) {
  const { asked, what } = props;
  const { data } = asked;
  return (
    <>
      <ErrorNote error={asked.error} retry={asked.retry} what={what} />
      {data?.errors.map(({ message }) => (
        <p key={message} class="note warning">
          <span>
            <strong>The filter. </strong>
            <Text text={message} />. The rest of it counts.
          </span>
        </p>
      ))}
      {data && <PartialNote partial={data.answer.partial} retry={asked.retry} what={what} />}
      {data ? (
        <div class={`result ${asked.busy ? "stale" : ""}`} aria-busy={asked.busy}>
          {props.children(data.answer)}
        </div>
      ) : (
        asked.busy && <Skeleton lines={9} />
      )}
    </>
  );
}

/** Events that belong to nobody, and so are in no number. */
export function WithoutUnit({ events, unit }: { events: number; unit: Unit }) {
  return events ? (
    <p class="hint">
      {counted(events, "event")} more {events === 1 ? "belongs" : "belong"} to no {NOUNS[unit]}, and {events === 1 ? "is" : "are"} in none of the
      numbers.
    </p>
  ) : null;
}
