// The rows of the table: windows of 200 events by their cursors, up to a thousand at once, and new ones on top.
import { batch, signal } from "@preact/signals";
import { ask, toApiError, type ApiError, type Params } from "../../api";
import type { Entry, Page, Partial } from "../../types";

export const WINDOW = 200;
const MOST = 1000;

export class Rows {
  readonly entries = signal<readonly Entry[]>([]);
  readonly next = signal<string | null>(null);
  readonly previous = signal<string | null>(null);
  readonly partial = signal<Partial | null>(null);
  readonly error = signal<ApiError | null>(null);
  /** What is under way: the first window, or one more. */
  readonly busy = signal<"first" | "more" | null>(null);
  /** Counts the questions that were answered anew, so that the table begins at its top again. */
  readonly asked = signal(0);
  readonly elapsedMs = signal(0);
  private params: Params = {};
  /** What came while the first window was under way. */
  private early: readonly Entry[] = [];
  private abort: AbortController | null = null;

  /** Ask anew; rows of the earlier question stay until the answer is there. */
  async load(params: Params): Promise<void> {
    this.params = params;
    this.early = [];
    const page = await this.fetch(params, "first");
    if (!page) return;
    batch(() => {
      this.entries.value = page.entries;
      this.next.value = page.next;
      this.previous.value = page.previous;
      this.asked.value++;
      this.prepend(this.early);
    });
  }

  /** Ask for the next window; returns whether there are more rows than before. */
  async more(): Promise<boolean> {
    if (!this.canGrow()) return false;
    const { after: _, before: __, ...params } = this.params;
    const page = await this.fetch({ ...params, after: this.next.value }, "more");
    if (!page) return false;
    batch(() => {
      this.entries.value = [...this.entries.value, ...page.entries];
      this.next.value = page.next;
    });
    return page.entries.length > 0;
  }

  /** Whether another window fits below: the rows are bounded, and behind them one goes on with a new table. */
  canGrow(): boolean {
    return this.next.value !== null && this.busy.value === null && this.entries.value.length < MOST;
  }

  /** Put new events, newest first, on top; those at the end make room. */
  prepend(fresh: readonly Entry[]): void {
    if (this.busy.value === "first") this.early = [...fresh, ...this.early];
    const known = new Set(this.entries.value.map(({ event }) => event["id"]));
    const rows = [...fresh.filter(({ event }) => !known.has(event["id"])), ...this.entries.value];
    batch(() => {
      if (rows.length > MOST) this.next.value = rows[MOST - 1]!.cursor;
      this.entries.value = rows.slice(0, MOST);
    });
  }

  stop(): void {
    this.abort?.abort();
    this.busy.value = null;
  }

  private async fetch(params: Params, what: "first" | "more"): Promise<Page | null> {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    batch(() => {
      this.busy.value = what;
      this.error.value = null;
    });
    try {
      const { answer, elapsed_ms } = await ask<Page>("events", { ...params, limit: WINDOW }, abort.signal);
      if (abort.signal.aborted) return null;
      batch(() => {
        this.busy.value = null;
        this.partial.value = answer.partial;
        this.elapsedMs.value = elapsed_ms;
      });
      return answer;
    } catch (error) {
      if (abort.signal.aborted) return null;
      batch(() => {
        this.busy.value = null;
        this.error.value = toApiError(error);
        if (what === "first") this.entries.value = [];
      });
      return null;
    }
  }
}
