// Which row has the keyboard, which event is shown in detail, and the keys that go from one to the next.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import { focusRow } from "../../components/virtualRows";
import { go } from "../../location";
import { useKeys } from "../../shell/keys";
import type { Entry } from "../../types";
import { around, columns, density, drawer, moveColumn, selected, toggleColumn, wrap } from "./state";

/** `more`: asks for the rows behind the last one. */
export function useSelection(entries: readonly Entry[], more?: () => Promise<boolean>) {
  const scroller = useRef<HTMLDivElement>(null);
  const current = useSignal(0);
  const roomy = density.value === "roomy";
  const id = selected.value;
  const at = id ? entries.findIndex(({ event }) => event["id"] === id) : -1;
  const open = (index: number, replace = true): void => {
    const entry = entries[index];
    if (entry) go({ sel: String(entry.event["id"]) }, { replace });
  };
  const step = async (by: number): Promise<void> => {
    const place = at >= 0 ? at : current.value;
    const next = place + (at < 0 && document.activeElement?.closest("tr") === null ? 0 : by);
    if (next >= entries.length) await more?.();
    if (next < 0) return;
    current.value = Math.min(next, Math.max(0, entries.length - 1));
    if (id) open(next);
    focusRow(scroller.current, current.value, roomy);
  };
  const select = (entry: Entry, index: number): void => {
    current.value = index;
    go({ sel: entry.event["id"] === id ? null : String(entry.event["id"]) }, { replace: Boolean(id) });
  };
  const shown = (): Entry | undefined => entries[at >= 0 ? at : current.value];
  useKeys([
    { key: "j", told: "Next event", run: () => void step(1) },
    { key: "k", told: "Previous event", run: () => void step(-1) },
    { key: "Enter", told: "Show the event in detail", run: () => shown() && open(current.value, false) },
    { key: "c", told: "What happened around the event", run: () => shown() && go({ around: String(shown()!.event["id"]), sel: null, live: null }) },
    {
      key: "Escape",
      told: "Close what is open",
      run: () => {
        if (drawer.value) drawer.value = false;
        else if (selected.value) {
          go({ sel: null });
          focusRow(scroller.current, current.value, roomy);
        } else if (around.value) go({ around: null, same: null, reach: null, filtered: null });
      },
    },
  ]);
  const canStep = (by: 1 | -1): boolean => at >= 0 && at + by >= 0 && at + by < entries.length;
  return { scroller, current, at, step, select, canStep, entry: entries[at] };
}

/** What the table of events is given of all this. */
export function useTable(selection: ReturnType<typeof useSelection>) {
  return {
    columns: columns.value,
    selected: selected.value,
    wrap: wrap.value,
    roomy: density.value === "roomy",
    scroller: selection.scroller,
    current: selection.current.value,
    onCurrent: (index: number) => (selection.current.value = index),
    onSelect: selection.select,
    arrange: { move: moveColumn, remove: toggleColumn },
  };
}
