// The live tail: new events as they come, by server-sent events or by asking again, and held back while one reads.
import { batch, signal } from "@preact/signals";
import { address, ask } from "../../api";
import type { Entry, Tail as TailAnswer } from "../../types";
import type { Rows } from "./rows";

const EVERY_MS = 2000;
const LONGEST_MS = 30_000;
const MOST_WAITING = 1000;

export class Tail {
  /** New events that wait because somebody reads; newest first. */
  readonly waiting = signal<readonly Entry[]>([]);
  /** How many new events are not shown at all: more came than are kept. */
  readonly dropped = signal(0);
  /** More was written than the server read. */
  readonly skipped = signal(false);
  readonly held = signal(false);
  readonly trouble = signal("");
  private cursor = "";
  private stream: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private abort: AbortController | null = null;
  private running = false;
  private failures = 0;

  constructor(
    private readonly rows: Rows,
    private readonly announce: (count: number) => void,
  ) {}

  /** Begin with what comes from now on. Answers when the place of now is known, so that nothing is missed after it. */
  async start(q: string, way: "sse" | "poll"): Promise<void> {
    this.stop();
    this.running = true;
    batch(() => {
      this.waiting.value = [];
      this.dropped.value = 0;
      this.skipped.value = false;
      this.held.value = false;
      this.trouble.value = "";
    });
    this.cursor = "";
    document.addEventListener("visibilitychange", this.seen);
    await this.poll(q);
    if (!this.running) return;
    if (way === "sse") this.listen(q);
    else this.again(q);
  }

  stop(): void {
    this.running = false;
    this.stream?.close();
    this.stream = null;
    clearTimeout(this.timer);
    this.abort?.abort();
    document.removeEventListener("visibilitychange", this.seen);
  }

  /** Show what waits, and what comes from now on. */
  release(): void {
    batch(() => {
      this.held.value = false;
      this.rows.prepend(this.waiting.value);
      this.waiting.value = [];
    });
  }

  private wake: () => void = () => {};
  private readonly seen = (): void => {
    if (!document.hidden) this.wake();
  };

  private again(q: string): void {
    clearTimeout(this.timer);
    const wait = Math.min(LONGEST_MS, EVERY_MS * 2 ** Math.min(this.failures, 4));
    const next = async (): Promise<void> => {
      clearTimeout(this.timer);
      if (document.hidden || !this.running) return; // `seen` goes on with it
      await this.poll(q);
      if (this.running) this.again(q);
    };
    this.wake = () => void next();
    this.timer = setTimeout(() => void next(), wait);
  }

  private async poll(q: string): Promise<void> {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    try {
      const { answer } = await ask<TailAnswer>("tail", { q, cursor: this.cursor }, abort.signal);
      this.failures = 0;
      this.trouble.value = "";
      this.take(answer);
    } catch (error) {
      if (abort.signal.aborted) return;
      this.failures++;
      this.trouble.value = `${(error as Error).message} Trying again.`;
    }
  }

  private listen(q: string): void {
    const stream = (this.stream = new EventSource(address("tail/stream", { q, cursor: this.cursor })));
    stream.addEventListener("entries", (message) => {
      this.trouble.value = "";
      const data = JSON.parse(message.data as string) as TailAnswer | { answer: TailAnswer };
      this.take("answer" in data ? data.answer : data);
    });
    stream.addEventListener("open", () => (this.trouble.value = ""));
    stream.addEventListener("error", () => {
      this.trouble.value = "The connection is interrupted. Trying again.";
      if (stream.readyState !== EventSource.CLOSED || !this.running) return;
      // The server refused the stream; asking again works everywhere.
      this.stream = null;
      this.again(q);
    });
  }

  private take({ entries, cursor, behind, skipped }: TailAnswer): void {
    this.cursor = cursor;
    if (skipped) this.skipped.value = true;
    if (behind) this.dropped.value += behind;
    if (!entries.length) return;
    const fresh = [...entries].reverse();
    this.announce(fresh.length);
    if (!this.held.value) return this.rows.prepend(fresh);
    const all = [...fresh, ...this.waiting.value];
    batch(() => {
      this.dropped.value += Math.max(0, all.length - MOST_WAITING);
      this.waiting.value = all.slice(0, MOST_WAITING);
    });
  }
}
