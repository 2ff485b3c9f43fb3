// The events of a trace as a tree: requests below the request that made them, and what was recorded during one below it.
import { valueOf } from "../../config";
import type { AuditEvent } from "../../types";

export interface Span {
  event: AuditEvent;
  /** In milliseconds since 1970, with microseconds behind the point. */
  start: number;
  /** In milliseconds; null of what has none. */
  duration: number | null;
  service: string;
  depth: number;
  /** Its parent is told of, but is not among the events. */
  lost: boolean;
}

/** Milliseconds since 1970 of an RFC 3339 time, to the microsecond. */
function milliseconds(time: string): number {
  return +new Date(time) + Number(/\.\d{3}(\d{3})/.exec(time)?.[1] ?? 0) / 1000;
}

function span(event: AuditEvent): Span {
  const nanoseconds = valueOf(event, "dur");
  const duration = typeof nanoseconds === "number" ? nanoseconds / 1e6 : null;
  const start = valueOf(event, "start");
  return {
    event,
    duration,
    start: typeof start === "string" ? milliseconds(start) : milliseconds(String(event["timestamp"])) - (duration ?? 0),
    service: String(valueOf(event, "service") ?? ""),
    depth: 0,
    lost: false,
  };
}

/** In the order in which they are drawn: each below its parent, siblings by their start. */
export function tree(events: readonly AuditEvent[]): Span[] {
  const all = events.map(span).sort((a, b) => a.start - b.start || (b.duration ?? 0) - (a.duration ?? 0));
  const byId = new Map<unknown, Span>();
  for (const one of all) {
    const id = valueOf(one.event, "trace.span_id");
    if (id && (one.duration !== null || !byId.has(id)) && byId.get(id)?.duration == null) byId.set(id, one);
  }
  const children = new Map<Span | null, Span[]>();
  for (const one of all) {
    const holder = byId.get(valueOf(one.event, "trace.span_id"));
    const above = valueOf(one.event, "trace.parent_id");
    const parent = holder && holder !== one ? holder : (byId.get(above) ?? null);
    one.lost = parent === null && Boolean(above);
    const key = parent === one ? null : parent;
    children.set(key, [...(children.get(key) ?? []), one]);
  }
  const drawn = new Set<Span>();
  const draw = (one: Span, depth: number): void => {
    if (drawn.has(one)) return;
    drawn.add(one);
    one.depth = depth;
    for (const child of children.get(one) ?? []) draw(child, depth + 1);
  };
  for (const one of children.get(null) ?? []) draw(one, 0);
  // What is its own ancestor has no beginning; it is shown all the same.
  for (const one of all) draw(one, 0);
  return [...drawn];
}
