// Only the rows in sight are drawn: which they are, and how much room the others take above and below.
import type { RefObject } from "preact";
import { useLayoutEffect, useReducer, useRef } from "preact/hooks";
import type { Entry } from "../types";

const OVERSCAN = 6;

/** Which rows are in sight. `fixed`: their height, or null where it is measured, `guess` until then. */
export function useVirtualRows(
  entries: readonly Entry[],
  scroller: RefObject<HTMLDivElement | null>,
  fixed: number | null,
  guess: number,
  shape: string,
): { first: number; last: number; above: number; below: number; body: RefObject<HTMLTableSectionElement | null> } {
  const [, render] = useReducer<number, void>((count) => count + 1, 0);
  const body = useRef<HTMLTableSectionElement>(null);
  const heights = useRef(new Map<string, number>());
  const known = useRef("");
  if (known.current !== shape) {
    known.current = shape;
    heights.current.clear();
  }
  const heightOf = (at: number): number => fixed ?? heights.current.get(entries[at]!.cursor) ?? guess;
  const top = scroller.current?.scrollTop ?? 0;
  const room = scroller.current?.clientHeight || 800;
  let first = 0;
  let above = 0;
  while (first < entries.length && above + heightOf(first) < top) above += heightOf(first++);
  let last = first;
  let shown = above;
  while (last < entries.length && shown < top + room) shown += heightOf(last++);
  for (let extra = 0; extra < OVERSCAN && first > 0; extra++) above -= heightOf(--first);
  last = Math.min(entries.length, last + OVERSCAN);
  let below = 0;
  for (let at = last; at < entries.length; at++) below += heightOf(at);
  useLayoutEffect(() => {
    const element = scroller.current!;
    let drawn = false;
    const moved = (): void => {
      if (drawn) return;
      drawn = true;
      requestAnimationFrame(() => {
        drawn = false;
        render();
      });
    };
    element.addEventListener("scroll", moved, { passive: true });
    const resized = new ResizeObserver(moved);
    resized.observe(element);
    return () => {
      element.removeEventListener("scroll", moved);
      resized.disconnect();
    };
  }, []);
  useLayoutEffect(() => {
    if (fixed !== null || !body.current) return;
    let changed = false;
    let shift = 0;
    for (const row of body.current.querySelectorAll<HTMLElement>("tr[data-index]")) {
      const cursor = entries[Number(row.dataset["index"])]?.cursor;
      const height = row.offsetHeight;
      if (!cursor || heights.current.get(cursor) === height) continue;
      const guessed = heights.current.get(cursor) ?? guess;
      // What one reads stays where it is when a row above turns out to be of another height.
      if (row.offsetTop + guessed <= scroller.current!.scrollTop) shift += height - guessed;
      heights.current.set(cursor, height);
      changed = true;
    }
    if (shift) scroller.current!.scrollTop += shift;
    if (changed) render();
  });
  return { first, last, above, below, body };
}

/** Bring a row into sight and give it the keyboard. */
export function focusRow(scroller: HTMLElement | null, index: number, roomy = false, block: "nearest" | "center" = "nearest"): void {
  if (!scroller) return;
  const find = (): HTMLElement | null => scroller.querySelector(`tr[data-index="${index}"]`);
  const shown = find();
  if (!shown) scroller.scrollTop = index * (roomy ? 36 : 28);
  requestAnimationFrame(() =>
    requestAnimationFrame(() => {
      const row = find();
      row?.focus({ preventScroll: true });
      row?.scrollIntoView({ block });
    }),
  );
}
