// Events in rows: a real table of which only the rows in sight are there, with columns that one arranges.
import { signal } from "@preact/signals";
import { Component, type ComponentChildren, type RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { field, valueOf } from "../config";
import { Icon } from "../shell/Icon";
import { openMenu, type MenuItem } from "../shell/Menu";
import { zone } from "../time";
import type { AuditEvent, Entry } from "../types";
import { Summary } from "./Summary";
import { Value } from "./Value";
import { useVirtualRows } from "./virtualRows";

const media = matchMedia("(max-width: 720px)");
/** Whether rows are stacked, because the window is narrow. */
export const narrow = signal(media.matches);
media.addEventListener("change", () => (narrow.value = media.matches));

/** How wide columns are in pixels; what is not here has 160, and those of 0 share the rest. */
const WIDTHS: Record<string, number> = {
  time: 184, level: 92, status: 72, summary: 0, user: 148, ip: 132, dur: 80, method: 72, path: 0, message: 0, size: 80,
  event: 168, id: 280, trace: 264, session: 200, request: 264, agent: 280, referrer: 240, host: 160, result: 92,
};
const FLEXIBLE = 240;

export interface EventTableProps {
  label: string;
  entries: readonly Entry[];
  columns: readonly string[];
  /** The id of the event that is shown in detail. */
  selected?: string;
  /** The id of an event that stands out. */
  marked?: string;
  onSelect: (entry: Entry, index: number) => void;
  /** What the title of a column lets one do. */
  arrange?: { move: (name: string, place: number) => void; remove: (name: string) => void; items?: (name: string) => MenuItem[] };
  /** The order by time; null where it is not said. */
  order?: "newest" | "oldest";
  onOrder?: () => void;
  wrap?: boolean;
  roomy?: boolean;
  /** The end came into sight. */
  onEnd?: () => void;
  onScroll?: (top: number) => void;
  /** Below the last row. */
  footer?: ComponentChildren;
  /** The element that scrolls. */
  scroller?: RefObject<HTMLDivElement | null>;
  /** Which row has the keyboard; the page moves it. */
  current?: number;
  onCurrent?: (index: number) => void;
}

export function EventTable(props: EventTableProps) {
  const { entries, columns, wrap = false, roomy = false } = props;
  const own = useRef<HTMLDivElement>(null);
  const scroller = props.scroller ?? own;
  const stacked = narrow.value;
  const fixed = wrap || stacked ? null : roomy ? 36 : 28;
  const { first, last, above, below, body } = useVirtualRows(entries, scroller, fixed, stacked ? 76 : 44, `${columns}${stacked}${wrap}`);
  useLayoutEffect(() => {
    if (last >= entries.length - 40 && entries.length) props.onEnd?.();
  }, [last, entries.length]);
  const widths = columns.map((name) => WIDTHS[name] ?? 160);
  const width = widths.reduce((sum, one) => sum + (one || FLEXIBLE), 36);
  const { value: zoneName } = zone;
  return (
    <div
      ref={scroller}
      class={`events-scroll ${wrap ? "wrap" : ""} ${roomy ? "roomy" : ""} ${stacked ? "stacked" : ""}`}
      role="region"
      aria-label={props.label}
      tabIndex={0}
      onScroll={(event) => props.onScroll?.(event.currentTarget.scrollTop)}
    >
      <table class="events-table" role="table" aria-rowcount={entries.length + 1} style={stacked ? {} : { minWidth: `${width}px` }}>
        <colgroup>
          <col style={{ width: "36px" }} />
          {columns.map((name, at) => (
            <col key={name} style={widths[at] ? { width: `${widths[at]}px` } : {}} />
          ))}
        </colgroup>
        <Head {...props} />
        <tbody ref={body} role="rowgroup">
          {above > 0 && <Spacer height={above} />}
          {entries.slice(first, last).map((entry, at) => (
            <Row
              key={entry.cursor}
              entry={entry}
              index={first + at}
              columns={columns}
              zone={zoneName}
              stacked={stacked}
              selected={props.selected === entry.event["id"]}
              marked={props.marked === entry.event["id"]}
              current={props.current === first + at}
              onSelect={props.onSelect}
              onCurrent={props.onCurrent}
            />
          ))}
          {below > 0 && <Spacer height={below} />}
        </tbody>
      </table>
      {props.footer && <div class="events-footer">{props.footer}</div>}
    </div>
  );
}

const Spacer = ({ height }: { height: number }) => (
  <tr class="spacer" aria-hidden="true" role="presentation">
    <td role="presentation" style={{ height: `${height}px` }} />
  </tr>
);

function Head({ columns, arrange, order, onOrder }: EventTableProps) {
  const dragged = useRef<string | null>(null);
  const items = (name: string, at: number): MenuItem[] => [
    ...(name === "time" && onOrder
      ? [{ label: order === "newest" ? "Oldest first" : "Newest first", icon: "clock" as const, run: onOrder }]
      : []),
    ...(at > 0 ? [{ label: "Move to the left", icon: "left" as const, run: () => arrange!.move(name, at - 1) }] : []),
    ...(at < columns.length - 1 ? [{ label: "Move to the right", icon: "right" as const, run: () => arrange!.move(name, at + 1) }] : []),
    ...(arrange?.items?.(name) ?? []),
    ...(columns.length > 1 ? [{ label: "Remove the column", icon: "close" as const, run: () => arrange!.remove(name) }] : []),
  ];
  const keyed = (event: KeyboardEvent, name: string, at: number): void => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!event.altKey || !step || at + step < 0 || at + step >= columns.length) return;
    event.preventDefault();
    const header = (event.currentTarget as HTMLElement).closest("tr")!;
    arrange!.move(name, at + step);
    setTimeout(() => header.querySelectorAll<HTMLElement>("th button")[at + step]?.focus());
  };
  return (
    <thead role="rowgroup">
      <tr role="row">
        <th role="columnheader" scope="col">
          <span class="offscreen">Details</span>
        </th>
        {columns.map((name, at) => (
          <th
            key={name}
            role="columnheader"
            scope="col"
            class={numeric(name) ? "numeric" : ""}
            aria-sort={name === "time" && order ? (order === "newest" ? "descending" : "ascending") : undefined}
            title={field(name)?.description}
            draggable={Boolean(arrange)}
            onDragStart={() => (dragged.current = name)}
            onDragOver={(event) => dragged.current && event.preventDefault()}
            onDrop={(event) => {
              event.preventDefault();
              if (dragged.current && dragged.current !== name) arrange!.move(dragged.current, at);
              dragged.current = null;
            }}
          >
            {arrange ? (
              <button
                type="button"
                aria-haspopup="menu"
                title={`${name}: click to arrange, drag or Alt+arrows to move`}
                onClick={(event) => openMenu(event.currentTarget, name, items(name, at))}
                onKeyDown={(event) => keyed(event, name, at)}
              >
                <span>{name}</span>
                {name === "time" && order && <Icon name={order === "newest" ? "chevron" : "up"} />}
              </button>
            ) : (
              name
            )}
          </th>
        ))}
      </tr>
    </thead>
  );
}

const NUMERIC = new Set(["number", "duration", "size"]);
const numeric = (name: string): boolean => NUMERIC.has(field(name)?.kind ?? "");

interface RowProps {
  entry: Entry;
  index: number;
  columns: readonly string[];
  /** Only so that a row is drawn anew when the zone changes. */
  zone: string;
  stacked: boolean;
  selected: boolean;
  marked: boolean;
  current: boolean;
  onSelect: (entry: Entry, index: number) => void;
  onCurrent: ((index: number) => void) | undefined;
}

/** A row is drawn anew only when something of it changes. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return (Object.keys(next) as (keyof RowProps)[]).some((name) => next[name] !== this.props[name]);
  }

  override render(props: RowProps) {
    return <Cells {...props} />;
  }
}

function Cells({ entry, index, columns, stacked, selected, marked, current, onSelect, onCurrent }: RowProps) {
  const { event } = entry;
  const level = String(event["level"] ?? "");
  const open = (): void => onSelect(entry, index);
  return (
    <tr
      role="row"
      class={`${selected ? "selected" : ""} ${marked ? "marked" : ""} row-${level.replace(/\W/g, "")}`}
      data-index={index}
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={current ? 0 : -1}
      onFocus={() => onCurrent?.(index)}
      onClick={() => getSelection()?.isCollapsed !== false && open()}
      onKeyDown={(pressed) => {
        if (pressed.key !== "Enter" || pressed.target !== pressed.currentTarget) return;
        pressed.preventDefault();
        open();
      }}
    >
      <td role="cell" class="opener">
        <button type="button" tabIndex={-1} aria-label={selected ? "Close the details" : "Show the details"} onClick={(click) => (click.stopPropagation(), open())}>
          <Icon name="right" />
        </button>
      </td>
      {columns.map((name) => (
        <td key={name} role="cell" data-column={name} class={numeric(name) ? "numeric" : ""}>
          <Cell event={event} name={name} inert={stacked} />
        </td>
      ))}
    </tr>
  );
}

function Cell({ event, name, inert }: { event: AuditEvent; name: string; inert: boolean }) {
  if (name === "summary") return <Summary event={event} inert={inert} />;
  const value = valueOf(event, name);
  if (value === undefined || value === null) return null;
  return <Value field={name} value={value} limit={200} inert={inert} focusable={false} />;
}
