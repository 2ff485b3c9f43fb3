// Menus: one at a time, at the place that it belongs to, driven by mouse or keyboard.
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { Icon, type IconName } from "./Icon";

export interface MenuItem {
  label: ComponentChildren;
  icon?: IconName;
  /** A link of its own (also for a new tab) … */
  href?: string;
  /** … or what happens. */
  run?: () => void;
  /** Set for one of several choices: whether it is the chosen one. */
  checked?: boolean;
  detail?: ComponentChildren;
  /** A line above it. */
  separated?: boolean;
}

interface OpenMenu {
  label: string;
  items: readonly MenuItem[];
  header: ComponentChildren;
  anchor: Element;
}

const open = signal<OpenMenu | null>(null);

/** Show a menu below `anchor`, which gets the focus back; the same anchor a second time closes it. */
export function openMenu(anchor: Element, label: string, items: readonly MenuItem[], header?: ComponentChildren): void {
  open.value = open.peek()?.anchor === anchor ? null : { anchor, label, items, header };
}

export function closeMenu(): void {
  open.value = null;
}

/** A button with a menu. `items` are asked for when it opens. */
export function MenuButton(props: {
  label: string;
  items: () => readonly MenuItem[];
  class?: string;
  children: ComponentChildren;
}) {
  const button = useRef<HTMLButtonElement>(null);
  return (
    <button
      ref={button}
      type="button"
      class={props.class ?? "button"}
      aria-haspopup="menu"
      aria-expanded={open.value !== null && open.value.anchor === button.current}
      aria-label={props.label}
      title={props.label}
      onClick={() => openMenu(button.current!, props.label, props.items())}
    >
      {props.children}
    </button>
  );
}

/** Where the one open menu is shown: once, in the shell. */
export function MenuLayer() {
  const menu = useRef<HTMLDivElement>(null);
  const { value } = open;
  useLayoutEffect(() => {
    if (!value || !menu.current) return;
    place(menu.current, value.anchor.getBoundingClientRect());
    menu.current.querySelector<HTMLElement>("[role^=menuitem]")?.focus();
  }, [value]);
  useEffect(() => {
    if (!value) return undefined;
    const away = (event: Event): void => {
      const target = event.target as Node;
      if (!menu.current?.contains(target) && !value.anchor.contains(target)) closeMenu();
    };
    const moved = (event: Event): void => {
      if (!menu.current?.contains(event.target as Node)) closeMenu();
    };
    addEventListener("pointerdown", away, true);
    addEventListener("scroll", moved, true);
    addEventListener("resize", closeMenu);
    return () => {
      removeEventListener("pointerdown", away, true);
      removeEventListener("scroll", moved, true);
      removeEventListener("resize", closeMenu);
    };
  }, [value]);
  if (!value) return null;
  const leave = (): void => {
    closeMenu();
    (value.anchor as HTMLElement).focus?.();
  };
  const step = (event: KeyboardEvent): void => {
    const items = [...menu.current!.querySelectorAll<HTMLElement>("[role^=menuitem]")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const moves: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 };
    const next = moves[event.key];
    if (event.key === "Escape" || event.key === "Tab") leave();
    else if (next !== undefined) items[(next + items.length) % items.length]?.focus();
    else if (/^[a-z]$/i.test(event.key)) {
      const rest = [...items.slice(at + 1), ...items.slice(0, at + 1)];
      rest.find((item) => item.textContent?.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const chosen = (item: MenuItem): void => {
    leave();
    item.run?.();
  };
  return (
    <div ref={menu} class="menu" onKeyDown={step}>
      {value.header && <div class="menu-header">{value.header}</div>}
      <div role="menu" aria-label={value.label}>
        {value.items.map((item) => {
          const inner = (
            <>
              {item.checked !== undefined ? <span class="menu-mark">{item.checked && <Icon name="check" />}</span> : item.icon ? <Icon name={item.icon} /> : null}
              <span class="menu-label">{item.label}</span>
              {item.detail && <span class="menu-detail">{item.detail}</span>}
            </>
          );
          const role = item.checked === undefined ? "menuitem" : "menuitemradio";
          const classes = item.separated ? "separated" : "";
          return item.href ? (
            <a key={item.label} role="menuitem" tabIndex={-1} class={classes} href={item.href} onClick={() => setTimeout(closeMenu)}>
              {inner}
            </a>
          ) : (
            <button key={item.label} type="button" role={role} aria-checked={item.checked} tabIndex={-1} class={classes} onClick={() => chosen(item)}>
              {inner}
            </button>
          );
        })}
      </div>
    </div>
  );
}

/** Put the menu below what it belongs to, or above where there is no room, and within the window. */
function place(menu: HTMLElement, anchor: DOMRect): void {
  const { width, height } = menu.getBoundingClientRect();
  const below = anchor.bottom + 4 + height <= innerHeight || anchor.top < height;
  menu.style.left = `${Math.max(8, Math.min(anchor.left, innerWidth - width - 8))}px`;
  menu.style.top = `${Math.max(8, below ? Math.min(anchor.bottom + 4, innerHeight - height - 8) : anchor.top - height - 4)}px`;
}
