// Events as visits: those of one session, none of them longer than a pause after the one before.
//
// The server makes the same of each page; what was loaded page by page is put together here.
import { valueOf } from "../../config";
import type { Entry } from "../../types";

export type Order = "newest" | "oldest";

export interface Visit {
  session: string | null;
  entries: Entry[];
  /** Seconds since anything happened before it; null for the first one. */
  gap: number | null;
  /** When it began and ended, in milliseconds since 1970. */
  since: number;
  until: number;
}

export const PAUSE_SECONDS = 30 * 60;

export function visits(entries: readonly Entry[], order: Order): Visit[] {
  const found: Visit[] = [];
  const latest = new Map<string | null, Visit>();
  let before: number | null = null;
  for (const entry of order === "oldest" ? entries : [...entries].reverse()) {
    const time = +new Date(String(entry.event["timestamp"]));
    const session = (valueOf(entry.event, "session") as string | undefined) ?? null;
    let visit = latest.get(session);
    if (!visit || time - visit.until > PAUSE_SECONDS * 1000) {
      visit = { session, entries: [], gap: before === null ? null : (time - before) / 1000, since: time, until: time };
      latest.set(session, visit);
      found.push(visit);
    }
    visit.entries.push(entry);
    visit.until = before = time;
  }
  if (order === "newest") for (const visit of found.reverse()) visit.entries.reverse();
  return found;
}
