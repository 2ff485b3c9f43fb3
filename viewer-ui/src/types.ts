// What the API answers; the names are those of auditmw.query.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type AuditEvent = { [key: string]: Json };

export interface QueryError {
  start: number;
  end: number;
  message: string;
}

/** Why an answer is not whole. Every event from `covered_from` on and before `covered_to` was looked at. */
export interface Partial {
  reasons: ("under way" | "time limit" | "cancelled" | "memory" | "damage" | "query")[];
  covered_from: string | null;
  covered_to: string | null;
  missing?: unknown[];
  errors?: QueryError[];
}

export interface Scope {
  q: string;
  from: string | null;
  to: string | null;
}

export interface Answer<T> {
  answer: T;
  scope: Scope;
  errors: QueryError[];
  elapsed_ms: number;
}

export type FieldKind =
  | "text" | "choice" | "number" | "status" | "duration" | "size" | "time" | "flag" | "address" | "any" | "group";

export interface FieldInfo {
  name: string;
  path: string | string[];
  kind: FieldKind;
  description: string;
  aliases?: string[];
  choices?: string[];
}

export interface SavedView {
  name: string;
  q: string;
  columns: string[] | null;
  from: string | null;
  to: string | null;
  builtin: boolean;
  by: string | null;
}

export interface Config {
  version: string;
  viewer: { name: string; restricted: boolean; may_export: boolean };
  tail: "sse" | "poll";
  fields: FieldInfo[];
  export_cap: number;
  time_limit_seconds: number;
  views: SavedView[];
}

export interface Entry {
  cursor: string;
  event: AuditEvent;
}

export interface Page {
  entries: Entry[];
  next: string | null;
  previous: string | null;
  partial: Partial | null;
}

export interface Found {
  event: AuditEvent | null;
  cursor?: string | null;
  partial: Partial | null;
}

export interface Context {
  before: Entry[];
  entry: Entry | null;
  after: Entry[];
  partial: Partial | null;
}

export interface Count {
  value: number;
  capped: boolean;
  partial: Partial | null;
}

export interface Histogram {
  width: string;
  edges: string[];
  series: { [kind: string]: number[] };
  partial: Partial | null;
}

export interface Facet {
  field: string;
  values: { value: string | null; events: number }[];
  distinct: number;
  total: number;
  partial: Partial | null;
}

export interface Completion {
  start: number;
  end: number;
  items: { text: string; detail: string; events?: number }[];
}

export interface Parsed {
  canonical: string;
  errors: QueryError[];
  complete: Completion | null;
}

export interface Tail {
  entries: Entry[];
  cursor: string;
  behind: number;
  skipped?: boolean;
}
