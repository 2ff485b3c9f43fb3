// A chart over time: stacked bars or lines, in the colours of the theme and the zone of the page.
//
// With a mouse or a finger: drag to choose a range, click a bucket. With the keyboard: left and right move from bucket
// to bucket, Enter chooses it. What it shows is also said as text.
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, shortCount } from "../numbers";
import { moment, shortMoment, zone } from "../time";
import { Text } from "./Text";

export interface Series {
  name: string;
  /** A custom property, such as "--status-4xx". */
  colour: string;
  values: readonly (number | null)[];
}

export interface ChartProps {
  /** What it shows, for those who do not see it. */
  label: string;
  /** Seconds since 1970: where each bucket begins, and where the last one ends. */
  edges: readonly number[];
  series: readonly Series[];
  kind?: "bars" | "lines";
  height?: number;
  format?: (value: number) => string;
  /** A range was dragged, in seconds. */
  onRange?: (from: number, to: number) => void;
  /** A bucket was chosen. */
  onBucket?: (index: number) => void;
  /** In seconds; what is outside was not looked at, and is shaded. */
  covered?: readonly [number | null, number | null];
}

const LEFT = 44;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 22;

export function Chart(props: ChartProps) {
  const { edges, series, kind = "bars", height = 120, format = shortCount, covered } = props;
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState<number | null>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  useLayoutEffect(() => {
    const measure = (): void => setWidth(host.current!.clientWidth);
    measure();
    const resized = new ResizeObserver(measure);
    resized.observe(host.current!);
    return () => resized.disconnect();
  }, []);

  const buckets = edges.length - 1;
  const [start, end] = [edges[0] ?? 0, edges.at(-1) ?? 1];
  const right = Math.max(LEFT + 1, width - RIGHT);
  const x = (time: number): number => LEFT + ((time - start) / (end - start || 1)) * (right - LEFT);
  const timeAt = (place: number): number => start + ((Math.max(LEFT, Math.min(right, place)) - LEFT) / (right - LEFT)) * (end - start);
  const bucketAt = (place: number): number => Math.max(0, Math.min(buckets - 1, edges.findLastIndex((edge) => edge <= timeAt(place))));
  const drawn = useMemo(() => draw(props, x, height), [edges, series, width, height, kind]);
  const ticks = useMemo(() => timeTicks(edges, Math.max(1, Math.floor((right - LEFT) / 84))), [edges, width, zone.value]);

  const place = (event: PointerEvent): number => event.clientX - host.current!.getBoundingClientRect().left;
  const move = (event: PointerEvent): void => {
    setAt(bucketAt(place(event)));
    if (drag) setDrag([drag[0], place(event)]);
  };
  const press = (event: PointerEvent): void => {
    if (event.button || (!props.onRange && !props.onBucket)) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    setDrag([place(event), place(event)]);
  };
  const release = (): void => {
    if (!drag) return;
    setDrag(null);
    const [low, high] = [Math.min(...drag), Math.max(...drag)];
    if (high - low < 5) props.onBucket?.(bucketAt(low));
    else props.onRange?.(timeAt(low), timeAt(high));
  };
  const key = (event: KeyboardEvent): void => {
    const moves: Record<string, number> = { ArrowLeft: (at ?? buckets) - 1, ArrowRight: (at ?? -1) + 1, Home: 0, End: buckets - 1 };
    const next = moves[event.key];
    if (next !== undefined) setAt(Math.max(0, Math.min(buckets - 1, next)));
    else if (event.key === "Enter" && at !== null) props.onBucket?.(at);
    else if (event.key === "Escape" && at !== null) setAt(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const bottom = height - BOTTOM;
  const shown = at !== null && at < buckets ? at : null;
  return (
    <div
      ref={host}
      class="chart"
      role="application"
      aria-roledescription="chart"
      aria-label={`${props.label}. Left and right move between the buckets, Enter chooses one.`}
      tabIndex={0}
      style={{ height: `${height}px` }}
      onKeyDown={key}
      onBlur={() => setAt(null)}
    >
      <svg
        width={width}
        height={height}
        aria-hidden="true"
        class={props.onRange ? "brushable" : ""}
        onPointerMove={move}
        onPointerLeave={() => !drag && setAt(null)}
        onPointerDown={press}
        onPointerUp={release}
        onPointerCancel={() => setDrag(null)}
      >
        <rect width={width} height={height} fill="transparent" />
        {drawn.levels.map(({ value, y }) => (
          <g key={value}>
            <line x1={LEFT} x2={right} y1={y} y2={y} class="grid" />
            <text x={LEFT - 8} y={y + 4} text-anchor="end">
              {format(value)}
            </text>
          </g>
        ))}
        {shown !== null && <rect class="bucket" x={x(edges[shown]!)} y={TOP} width={Math.max(1, x(edges[shown + 1]!) - x(edges[shown]!))} height={bottom - TOP} />}
        {series.map(({ name, colour }, one) => (
          <path
            key={name}
            d={drawn.paths[one]!}
            style={kind === "bars" ? { fill: `var(${colour})` } : { stroke: `var(${colour})`, fill: "none", strokeWidth: 2 }}
          />
        ))}
        {covered?.[0] != null && <rect class="shade" x={LEFT} y={TOP} width={Math.max(0, x(covered[0]) - LEFT)} height={bottom - TOP} />}
        {covered?.[1] != null && <rect class="shade" x={x(covered[1])} y={TOP} width={Math.max(0, right - x(covered[1]))} height={bottom - TOP} />}
        {ticks.map(({ time, label }) => (
          <text key={time} x={x(time)} y={height - 6} text-anchor={x(time) < LEFT + 24 ? "start" : x(time) > right - 24 ? "end" : "middle"}>
            {label}
          </text>
        ))}
        {drag && Math.abs(drag[1] - drag[0]) > 4 && (
          <rect class="brush" x={Math.max(LEFT, Math.min(...drag))} y={TOP} width={Math.min(right, Math.max(...drag)) - Math.max(LEFT, Math.min(...drag))} height={bottom - TOP} />
        )}
      </svg>
      {shown !== null && (
        <div class="chart-tip" role="status" style={{ left: `${Math.max(0, Math.min(x(edges[shown + 1]!) + 8, width - 196))}px` }}>
          <Tip {...props} at={shown} />
        </div>
      )}
    </div>
  );
}

function Tip({ edges, series, at, format = count }: ChartProps & { at: number }) {
  const [from, to] = [shortMoment(new Date(edges[at]! * 1000)), shortMoment(new Date(edges[at + 1]! * 1000))];
  const here = series.filter(({ values }) => values[at]);
  return (
    <>
      <strong>
        {from} – {from.slice(0, 10) === to.slice(0, 10) && to.length > 10 ? to.slice(11) : to}
      </strong>
      {here.length === 0 && <span>nothing</span>}
      {here.map(({ name, colour, values }) => (
        <span key={name}>
          <i class="swatch" style={{ background: `var(${colour})` }} />
          <Text text={name} limit={40} />
          <b>{format(values[at]!)}</b>
        </span>
      ))}
    </>
  );
}

interface Drawn {
  levels: { value: number; y: number }[];
  /** Of each series the path. */
  paths: string[];
}

function draw({ edges, series, kind = "bars" }: ChartProps, x: (time: number) => number, height: number): Drawn {
  const sums = new Array<number>(Math.max(0, edges.length - 1)).fill(0);
  const highest = kind === "bars" ? sums.map((_, at) => series.reduce((sum, { values }) => sum + (values[at] ?? 0), 0)) : series.flatMap(({ values }) => values.map((value) => value ?? 0));
  const levels = niceLevels(highest.reduce((most, value) => Math.max(most, value), 0));
  const top = levels.at(-1)!;
  const y = (value: number): number => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);
  const bar = (value: number | null, at: number): string => {
    if (!value) return "";
    const [left, right] = [x(edges[at]!), x(edges[at + 1]!)];
    const gap = right - left > 4 ? 1 : 0;
    const [low, high] = [y(sums[at]!), y((sums[at]! += value))];
    // A bucket with anything in it is to be seen.
    return `M${left.toFixed(1)} ${low.toFixed(1)}V${Math.min(high, low - 1).toFixed(1)}H${(right - gap).toFixed(1)}V${low.toFixed(1)}Z`;
  };
  const line = (values: readonly (number | null)[]): string =>
    values.map((value, at) => (value === null ? "" : `${at === 0 || values[at - 1] === null ? "M" : "L"}${x(((edges[at] ?? 0) + (edges[at + 1] ?? edges[at] ?? 0)) / 2).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
  return {
    levels: levels.map((value) => ({ value, y: y(value) })),
    paths: series.map(({ values }) => (kind === "bars" ? values.map(bar).join("") : line(values))),
  };
}

/** Zero and two or three round numbers, the last of which is not below the highest value. */
function niceLevels(highest: number): number[] {
  const whole = Number.isInteger(highest);
  const rough = Math.max(highest / 3, 1e-9);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999 && (!whole || size >= 1)) ?? 1;
  return Array.from({ length: Math.max(2, Math.ceil(highest / step - 1e-9) + 1) }, (_, at) => at * step);
}

const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800];

/** Labels where the clock of the page's zone comes to round times: at most so many. */
function timeTicks(edges: readonly number[], most: number): { time: number; label: string }[] {
  const walls = edges.map((edge) => moment(new Date(edge * 1000), 0));
  const seconds = walls.map((wall) => Date.parse(`${wall.replace(" ", "T")}Z`) / 1000);
  const groups: ((at: number) => number | string)[] = [
    ...STEPS.map((step) => (at: number) => Math.floor((seconds[at]! - (step > 86400 ? 4 * 86400 : 0)) / step)),
    (at) => walls[at]!.slice(0, 7),
    (at) => walls[at]!.slice(0, 4),
  ];
  for (const [size, group] of groups.entries()) {
    const found = edges.flatMap((time, at) => (at > 0 && at < edges.length - 1 && group(at) !== group(at - 1) ? [{ time, wall: walls[at]! }] : []));
    if (found.length > most) continue;
    return found.map(({ time, wall }, at) => ({ time, label: tickLabel(wall, found[at - 1]?.wall, size) }));
  }
  return [];
}

function tickLabel(wall: string, before: string | undefined, size: number): string {
  if (size >= STEPS.length) return size > STEPS.length ? wall.slice(0, 4) : wall.slice(0, 7);
  if (STEPS[size]! >= 86400) return wall.slice(5, 10);
  const clock = STEPS[size]! < 60 ? wall.slice(11) : wall.slice(11, 16);
  return before && before.slice(0, 10) !== wall.slice(0, 10) ? wall.slice(5, 10) : clock;
}
