// The API: questions that can be cancelled, and what may come of them.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { dismissAll, inTurn, type Turn } from "./turns";
import type { Answer } from "./types";

export type Params = Readonly<Record<string, string | number | boolean | readonly string[] | null | undefined>>;

/** What the server refused, or that it could not be reached (status 0), as a sentence. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly parameter: string | null = null,
  ) {
    super(message);
  }
}

export const toApiError = (error: unknown): ApiError => (error instanceof ApiError ? error : new ApiError(String(error), 0));

/** How many questions are under way; body[data-busy] says it too, and body[data-ready] how many have ended. */
export const busy = signal(0);
let ended = 0;
const tokens = new Set<string>();
let lastToken = 0;
const session = crypto.getRandomValues(new Uint32Array(2)).join("-");

function counted(change: 1 | -1): void {
  const now = (busy.value = busy.peek() + change);
  if (change < 0) document.body.dataset["ready"] = String(++ended);
  document.body.dataset["busy"] = String(now);
}

/** The address of an API call, relative to the page. */
export function address(path: string, params: Params = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (Array.isArray(value)) for (const item of value as string[]) search.append(name, item);
    else if (value === true) search.set(name, "1");
    else if (value !== null && value !== undefined && value !== false && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return `api/${path}${text && `?${text}`}`;
}

async function fetched(url: string, options: RequestInit): Promise<unknown> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError("The server cannot be reached.", 0);
  }
  const body: unknown = await response.json().catch(() => null);
  if (response.ok) return body;
  const told = (body as { error?: { message?: string; parameter?: string } } | null)?.error;
  throw new ApiError(told?.message ?? `The server answered ${response.status}.`, response.status, told?.parameter);
}

/** Ask a question. When `signal` aborts, the server is told to stop working on it. */
export async function ask<T>(path: string, params: Params = {}, signal?: AbortSignal, turn: Turn = "at once"): Promise<Answer<T>> {
  counted(1);
  try {
    return (await inTurn(turn, signal, () => sent(path, params, signal))) as Answer<T>;
  } finally {
    counted(-1);
  }
}

async function sent(path: string, params: Params, signal?: AbortSignal): Promise<unknown> {
  const token = `${session}-${++lastToken}`;
  const stop = () => void tell(token);
  signal?.addEventListener("abort", stop, { once: true });
  tokens.add(token);
  try {
    return await fetched(address(path, { ...params, token }), signal ? { signal } : {});
  } finally {
    signal?.removeEventListener("abort", stop);
    tokens.delete(token);
  }
}

/** Change something on the server. */
export function send(method: "POST" | "DELETE", path: string, body?: unknown): Promise<unknown> {
  const headers: Record<string, string> = { "X-Auditmw": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  return fetched(address(path), { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
}

function tell(token: string): Promise<unknown> {
  return send("POST", "cancel", { token }).catch(() => null);
}

/** End all questions under way: they answer with what they have found, and say that they were cancelled. */
export function cancelAll(): void {
  for (const token of tokens) void tell(token);
  dismissAll();
}

/** An answer that a component shows: the last one stays while the next one is asked for. */
export interface Asked<T> {
  /** The last answer; undefined before the first, and after an error. */
  data: Answer<T> | undefined;
  /** Why there is none. */
  error: ApiError | undefined;
  /** Whether another one is under way. */
  busy: boolean;
  retry: () => void;
}

/** Ask, and ask anew whenever path or parameters change; the earlier question is cancelled. Null asks nothing. */
export function useAnswer<T>(path: string | null, params: Params = {}, turn: Turn = "at once"): Asked<T> {
  const [attempt, setAttempt] = useState(0);
  const retry = (): void => setAttempt((count) => count + 1);
  const [asked, set] = useState<Omit<Asked<T>, "retry">>({ data: undefined, error: undefined, busy: path !== null });
  const key = path === null ? null : address(path, params);
  useEffect(() => {
    if (path === null) {
      set({ data: undefined, error: undefined, busy: false });
      return undefined;
    }
    const abort = new AbortController();
    set(({ data, error }) => ({ data, error, busy: true }));
    ask<T>(path, params, abort.signal, turn)
      .then((data) => ({ data, error: undefined }))
      .catch((error: unknown) => ({ data: undefined, error: toApiError(error) }))
      .then((result) => abort.signal.aborted || set({ ...result, busy: false }));
    return () => abort.abort();
  }, [key, attempt]);
  return { ...asked, retry };
}
