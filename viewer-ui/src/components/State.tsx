// What an answer is not: still to come, refused, not whole, or empty. Each says what can be done.
import type { ComponentChildren } from "preact";
import type { ApiError } from "../api";
import { Icon, type IconName } from "../shell/Icon";
import { moment } from "../time";
import type { Partial } from "../types";

const REASONS: Record<Partial["reasons"][number], string> = {
  "under way": "the rest is still being looked at",
  "time limit": "the time limit was reached",
  cancelled: "it was cancelled",
  memory: "the memory limit was reached",
  damage: "a file is damaged",
  query: "the query has errors",
};

/** Whether matching events may be missing. */
export const incomplete = (partial: Partial | null | undefined): partial is Partial =>
  Boolean(partial && partial.reasons.some((reason) => reason !== "query"));

/** Why an answer is not whole, and what it covers: "Incomplete: the time limit was reached; covers … – …". */
export function partialText(partial: Partial): string {
  const reasons = partial.reasons.filter((reason) => reason !== "query").map((reason) => REASONS[reason] ?? reason);
  const { covered_from: from, covered_to: to } = partial;
  const covered =
    from && from === to
      ? "nothing was looked at yet"
      : from && to
        ? `covers ${moment(from, 0)} to ${moment(to, 0)}`
        : from
          ? `covers everything since ${moment(from, 0)}`
          : to
            ? `covers everything before ${moment(to, 0)}`
            : "";
  return `Incomplete: ${reasons.join(", ")}${covered && `; ${covered}`}.`;
}

export function PartialNote(props: { partial: Partial | null | undefined; retry?: () => void; what?: string }) {
  if (!incomplete(props.partial)) return null;
  return (
    <p class="note warning" role="status">
      <Icon name="warning" />
      <span>
        {props.what && <strong>{props.what}. </strong>}
        {partialText(props.partial)}
      </span>
      {props.retry && (
        <button type="button" class="button small" onClick={props.retry}>
          Try again
        </button>
      )}
    </p>
  );
}

export function ErrorNote(props: { error: ApiError | undefined; retry?: () => void; what?: string }) {
  if (!props.error) return null;
  return (
    <p class="note error" role="alert">
      <Icon name="warning" />
      <span>
        {props.what && <strong>{props.what}. </strong>}
        {props.error.message}
      </span>
      {props.retry && (
        <button type="button" class="button small" onClick={props.retry}>
          Try again
        </button>
      )}
    </p>
  );
}

export function Empty(props: { icon?: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={props.icon ?? "search"} />
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** Lines where an answer will be. */
export function Skeleton({ lines = 6 }: { lines?: number }) {
  return (
    <div class="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, line) => (
        <i key={line} />
      ))}
    </div>
  );
}
