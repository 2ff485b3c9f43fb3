import type { Partial } from "../../types";

export interface Traffic {
  requests: number;
  events: number;
  users: number;
  sessions: number;
  visitors: number;
  errors: number;
  client_errors: number;
  size_bytes: number;
  p50_ns: number | null;
  p95_ns: number | null;
  p99_ns: number | null;
}

export interface Top {
  shares: { value: string; people: number; bots: number }[];
  partial: Partial | null;
}

export type Lists = "pages" | "referrers" | "agents" | "ips" | "not_found";

export type Summary = { people: Traffic; bots: Traffic; partial: Partial | null } & Record<Lists, Top>;

export interface Summaries {
  now: Summary;
  before: Summary | null;
  scope_before: { from: string; to: string } | null;
  /** That of `now`. */
  partial?: Partial | null;
}
