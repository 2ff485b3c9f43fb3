// The events of one user, session or client: a page of them, and more on both of its ends.
import { useMemo, useReducer } from "preact/hooks";
import { ApiError, ask, useAnswer, type Asked, type Params } from "../../api";
import type { Entry, Partial } from "../../types";
import type { Order } from "./visits";

export interface Timeline {
  visits: { entries: Entry[] }[];
  next: string | null;
  previous: string | null;
  /** Of all time; with the first page only. */
  life: { events: number; first: string | null; last: string | null; partial: Partial | null } | null;
  partial: Partial | null;
}

type End = "before" | "after";

interface Grown {
  of: Timeline | undefined;
  entries: Entry[];
  cursors: Record<End, string | null>;
  busy: End | null;
  error: ApiError | undefined;
  partial: Partial | null;
}

export interface Life {
  asked: Asked<Timeline>;
  entries: readonly Entry[];
  /** Which ends have more, as far as one knows. */
  more: Record<End, boolean>;
  grow: (end: End) => void;
  busy: End | null;
  error: ApiError | undefined;
  partial: Partial | null;
}

export const LIMIT = 200;

const time = ({ event }: Entry): string => String(event["timestamp"]);

/** The entries of a page in the order of time; each visit has its own in that order. */
function entriesOf({ visits }: Timeline, order: Order): Entry[] {
  const all = visits.flatMap(({ entries }) => entries);
  const way = order === "oldest" ? 1 : -1;
  return all.sort((a, b) => (time(a) < time(b) ? -way : time(a) > time(b) ? way : 0));
}

/** `range`: where the first page begins; the ends lead beyond it. */
export function useLife(of: string, params: Params, order: Order, range: Params): Life {
  const [, render] = useReducer<number, void>((count) => count + 1, 0);
  const asked = useAnswer<Timeline>(params["id"] ? `timeline/${of}` : null, { ...params, ...range, order, limit: LIMIT });
  const root = asked.data?.answer;
  const ranged = Object.values(range).some(Boolean);
  const grown = useMemo<Grown>(
    () => ({
      of: root,
      entries: root ? entriesOf(root, order) : [],
      cursors: { before: ranged ? (root?.previous ?? null) : null, after: root?.next ?? null },
      busy: null,
      error: undefined,
      partial: root?.partial ?? null,
    }),
    [root],
  );
  const grow = (end: End): void => {
    const cursor = grown.cursors[end];
    if (!cursor || grown.busy) return;
    Object.assign(grown, { busy: end, error: undefined });
    render();
    ask<Timeline>(`timeline/${of}`, { ...params, order, limit: LIMIT, [end]: cursor })
      .then(({ answer }) => {
        const found = entriesOf(answer, order);
        grown.entries = end === "after" ? [...grown.entries, ...found] : [...found, ...grown.entries];
        grown.cursors[end] = end === "after" ? answer.next : found.length ? answer.previous : null;
        grown.partial = answer.partial ?? grown.partial;
      })
      .catch((error: unknown) => (grown.error = error instanceof ApiError ? error : new ApiError(String(error), 0)))
      .finally(() => {
        grown.busy = null;
        render();
      });
  };
  const { entries, busy, error, partial, cursors } = grown;
  return { asked, entries, grow, busy, error, partial, more: { before: cursors.before !== null, after: cursors.after !== null } };
}
