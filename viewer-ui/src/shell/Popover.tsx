// A button that shows a small panel: Escape or a click elsewhere closes it.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

/** Counts up when all panels are to close. */
const closing = signal(0);
export const closePopovers = (): void => void closing.value++;

export function Popover(props: {
  label: string;
  button: ComponentChildren;
  class?: string;
  /** Asked for while it is open. */
  children: (close: () => void) => ComponentChildren;
  align?: "left" | "right";
}) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const panel = useRef<HTMLDivElement>(null);
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  useEffect(() => setOpen(false), [closing.value]);
  useLayoutEffect(() => {
    if (!open || !panel.current) return;
    panel.current.querySelector<HTMLElement>("[autofocus], input, button, a")?.focus();
    const { left, right } = panel.current.getBoundingClientRect();
    if (left < 8) panel.current.style.transform = `translateX(${8 - left}px)`;
    else if (right > innerWidth - 8) panel.current.style.transform = `translateX(${innerWidth - 8 - right}px)`;
  }, [open]);
  useEffect(() => {
    if (!open) return undefined;
    const away = (event: Event): void => {
      const target = event.target as Element;
      if (!root.current?.contains(target) && !target.closest?.(".menu")) setOpen(false);
    };
    addEventListener("pointerdown", away, true);
    return () => removeEventListener("pointerdown", away, true);
  }, [open]);
  return (
    <div ref={root} class="popover-root" onKeyDown={(event) => open && event.key === "Escape" && (event.stopPropagation(), close())}>
      <button
        ref={button}
        type="button"
        class={props.class ?? "button"}
        aria-expanded={open}
        aria-haspopup="dialog"
        aria-label={props.label}
        title={props.label}
        onClick={() => setOpen(!open)}
      >
        {props.button}
      </button>
      {open && (
        <div ref={panel} class={`popover ${props.align ?? "left"}`} role="dialog" aria-label={props.label.replace(/:.*/, "")}>
          {props.children(close)}
        </div>
      )}
    </div>
  );
}
