// What the server says of itself, asked for once: the fields, the viewer, the saved views.
import { signal } from "@preact/signals";
import { ask, toApiError, type ApiError } from "./api";
import { fieldName } from "./querytext";
import type { AuditEvent, Config, FieldInfo, Json } from "./types";

export const config = signal<Config | null>(null);
export const configError = signal<ApiError | null>(null);

export async function loadConfig(): Promise<void> {
  configError.value = null;
  try {
    const answer: unknown = await ask<Config>("config");
    config.value = (answer as { answer?: Config }).answer ?? (answer as Config);
  } catch (error) {
    configError.value = toApiError(error);
  }
}

const byName = new Map<string, FieldInfo>();
const byPath = new Map<string, FieldInfo>();
let indexed: Config | null = null;

function index(): void {
  if (indexed === config.value) return;
  indexed = config.value;
  byName.clear();
  byPath.clear();
  for (const info of indexed?.fields ?? []) {
    const path = dotted(info);
    byPath.set(path, info);
    for (const name of [path, ...(info.aliases ?? []), info.name]) byName.set(name.toLowerCase(), info);
  }
}

const dotted = (info: FieldInfo): string => (typeof info.path === "string" ? info.path : fieldName(info.path));

/** What is known of a field by any of its names; undefined for what the application added. */
export function field(name: string): FieldInfo | undefined {
  index();
  return byName.get(name.toLowerCase());
}

/** The name that a query has for what stands at this path of an event. */
export function nameOfPath(path: readonly string[]): string {
  index();
  const written = fieldName(path);
  return byPath.get(written)?.name ?? written;
}

/** All names of a field in lower case, its own first. */
export function namesOf(name: string): string[] {
  const info = field(name);
  return info ? [info.name, dotted(info), ...(info.aliases ?? [])].map((known) => known.toLowerCase()) : [name.toLowerCase()];
}

function keysOf(name: string): string[] {
  return [...name.matchAll(/"((?:[^"\\]|\\.)*)"|([^."]+)/g)].map((match) => match[1]?.replace(/\\(["\\])/g, "$1") ?? match[2]!);
}

/** The value of a field in an event; undefined when it has none. Of a list on the way, the first element with one. */
export function valueOf(event: AuditEvent, name: string): Json | undefined {
  const info = field(name);
  let path = keysOf(name);
  if (info) path = typeof info.path === "string" ? keysOf(info.path) : info.path;
  return at(event, path);
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  if (path.length === 0 || value === undefined || value === null) return value;
  if (Array.isArray(value)) {
    for (const element of value) {
      const found = at(element, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  if (typeof value !== "object") return undefined;
  const key = path[0]!;
  // Keys of the application's own may be inherited names such as "constructor".
  return Object.hasOwn(value, key) ? at(value[key], path.slice(1)) : undefined;
}
