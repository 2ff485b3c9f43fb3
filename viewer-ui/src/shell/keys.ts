// The keys: each page says what it does with which, and the help shows it.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Key {
  key: string;
  /** What it does, for the help. */
  told: string;
  run: (event: KeyboardEvent) => void;
}

const bound = signal<readonly (readonly Key[])[]>([]);

/** All keys that do something now. */
export const keys = (): readonly Key[] => bound.value.flat();

/** Bind keys while the component is there. They do nothing while somebody types, or a dialog or menu is open. */
export function useKeys(list: readonly Key[]): void {
  const latest = useRef(list);
  latest.current = list;
  useEffect(() => {
    const mine = list.map(({ key, told }) => ({
      key,
      told,
      run: (event: KeyboardEvent) => latest.current.find((known) => known.key === key)?.run(event),
    }));
    bound.value = [...bound.peek(), mine];
    return () => {
      bound.value = bound.peek().filter((known) => known !== mine);
    };
  }, []);
}

addEventListener("keydown", (event) => {
  const target = event.target as HTMLElement;
  const typing = target.closest?.("input, textarea, select, [role=menu], dialog") ?? document.querySelector("dialog[open]");
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing && !(event.key === "Escape" && !document.querySelector("dialog[open]"))) return;
  // Enter on a button or a link is theirs.
  if (event.key === "Enter" && target.closest?.("button, a, summary")) return;
  const found = keys().findLast((known) => known.key === event.key);
  if (!found) return;
  event.preventDefault();
  found.run(event);
});
