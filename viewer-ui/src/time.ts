// Times: the zone that the whole page is in, moments and spans as text, and the ends of a range.
import { computed } from "@preact/signals";
import { go, text } from "./location";

export const LOCAL_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const stored = (): string | null => {
  try {
    return localStorage.getItem("auditmw.zone");
  } catch {
    return null;
  }
};

function known(zone: string): string | null {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: zone }).resolvedOptions().timeZone;
  } catch {
    return null;
  }
}

const named = text("tz");
/** The IANA name of the zone that every time on the page is in. */
export const zone = computed(() => known(named.value || stored() || LOCAL_ZONE) ?? LOCAL_ZONE);

/** Show all times in this zone, now and at later visits. */
export function setZone(name: string): void {
  try {
    localStorage.setItem("auditmw.zone", name);
  } catch {
    // The address keeps it.
  }
  go({ tz: name }, { replace: true });
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(options: Intl.DateTimeFormatOptions, locale = "sv-SE"): Intl.DateTimeFormat {
  const key = locale + zone.value + JSON.stringify(options);
  let found = formatters.get(key);
  if (!found) formatters.set(key, (found = new Intl.DateTimeFormat(locale, { timeZone: zone.value, ...options })));
  return found;
}

const DAY = { year: "numeric", month: "2-digit", day: "2-digit" } as const;
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false } as const;

/** "2026-11-20 20:20:11.250" in the page's zone; `digits` of the second. What is no time stays as it is. */
export function moment(time: string | Date, digits = 3): string {
  const date = new Date(time);
  if (isNaN(+date)) return String(time);
  const fraction = typeof time === "string" ? (/\.(\d+)/.exec(time)?.[1] ?? "") : String(date.getUTCMilliseconds()).padStart(3, "0");
  const whole = formatter({ ...DAY, ...CLOCK }).format(date);
  return digits ? `${whole}.${fraction.padEnd(digits, "0").slice(0, digits)}` : whole;
}

/** "2026-11-20" in the page's zone. */
export const day = (time: string | Date): string => formatter(DAY).format(new Date(time));

/** "20:20:11" in the page's zone. */
export const clock = (time: string | Date): string => formatter(CLOCK).format(new Date(time));

/** "2026-11-20 20:20", or without the time of day at midnight. */
export function shortMoment(time: string | Date): string {
  const written = moment(time, 0);
  return written.endsWith(" 00:00:00") ? written.slice(0, 10) : written.endsWith(":00") ? written.slice(0, 16) : written;
}

/** The moment that a wall-clock time such as "2026-11-20 20:20" in the page's zone means; null when it is none. */
export function fromWall(written: string): Date | null {
  const match = /^\s*(\d{4}-\d{2}-\d{2})(?:[ T](\d{1,2}:\d{2})(:\d{2}(?:\.\d+)?)?)?\s*$/.exec(written);
  if (!match) return null;
  const guess = new Date(`${match[1]}T${(match[2] ?? "00:00").padStart(5, "0")}${match[3] ?? ":00"}Z`);
  if (isNaN(+guess)) return null;
  // Twice, because the offset may change between the guess and the moment.
  let found = guess;
  for (let round = 0; round < 2; round++) {
    const shown = new Date(`${moment(found, 0).replace(" ", "T")}Z`);
    found = new Date(+found + (Math.floor(+guess / 1000) * 1000 - +shown));
  }
  return found;
}

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };

/** The moment that an end of a range means: `now`, `now-15m`, or RFC 3339; null for an open end. */
export function resolved(end: string, now = new Date()): Date | null {
  if (!end) return null;
  if (/^now(-|$)/.test(end)) {
    let seconds = 0;
    for (const [, number, unit] of end.matchAll(/(\d+)([smhdw])/g)) seconds += Number(number) * (UNITS[unit!] ?? 0);
    return new Date(+now - seconds * 1000);
  }
  const date = new Date(end);
  return isNaN(+date) ? null : date;
}

export const isRelative = (end: string): boolean => /^now(-|$)/.test(end);

const NAMES: Record<string, string> = { s: "second", m: "minute", h: "hour", d: "day", w: "week" };

/** What a range is called: "Last 15 minutes", "All time", "2026-11-20 10:00 – 12:00". */
export function rangeName(from: string, to: string): string {
  if (!from && !to) return "All time";
  const span = /^now-(\d+)([smhdw])$/.exec(from);
  if (span && (!to || to === "now")) {
    const [, number, unit] = span;
    const name = NAMES[unit!]!;
    return number === "1" ? `Last ${name}` : `Last ${number} ${name}s`;
  }
  const shown = (end: string): string => (isRelative(end) || !resolved(end) ? end : shortMoment(end));
  if (!from) return `Until ${shown(to)}`;
  if (!to) return `Since ${shown(from)}`;
  const [start, end] = [shown(from), shown(to)];
  const sameDay = start.length > 10 && end.length > 10 && start.slice(0, 10) === end.slice(0, 10);
  return `${start} – ${sameDay ? end.slice(11) : end}`;
}

/** "12 ms", "1.4 s", "3 min 20 s", "2 d 4 h"; of seconds. */
export function spanText(seconds: number): string {
  if (seconds < 0) return `-${spanText(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 1e-3) return `${Number((seconds * 1e6).toPrecision(3))} µs`;
  if (seconds < 0.9995) return `${Number((seconds * 1e3).toPrecision(3))} ms`;
  if (seconds < 59.95) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.round(seconds);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  return parts
    .slice(first, first + 2)
    .filter(([number]) => number > 0)
    .map(([number, unit]) => `${number} ${unit}`)
    .join(" ");
}

/** "3 minutes ago"; in the future "in 3 minutes". */
export function ago(time: string, now = new Date()): string {
  const seconds = (+now - +new Date(time)) / 1000;
  const told = Math.abs(seconds) < 1 ? "" : spanText(Math.round(Math.abs(seconds)));
  return !told ? "now" : seconds > 0 ? `${told} ago` : `in ${told}`;
}
