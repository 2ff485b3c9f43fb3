// The icons: paths on a grid of 16, drawn in the colour of the text.
const PATHS = {
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10Zm3.6-1.4L14 14",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12Zm0-9.5V8l2.5 1.5",
  chevron: "m4 6 4 4 4-4",
  right: "m6 4 4 4-4 4",
  left: "m10 4-4 4 4 4",
  up: "m4 10 4-4 4 4",
  close: "m4 4 8 8m0-8-8 8",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  check: "m3 8.5 3.5 3.5L13 4.5",
  copy: "M6 6h7v7H6zM3 10V3h7",
  link: "M6.5 9.5 9.5 6.5M7 4.5l1.5-1.5a3 3 0 0 1 4.5 4.5L11.5 9M9 11.5 7.5 13A3 3 0 0 1 3 8.5L4.5 7",
  download: "M8 2v8m0 0L5 7m3 3 3-3M3 13h10",
  star: "m8 2 1.8 3.8 4.2.5-3.1 2.9.8 4.1L8 11.3l-3.7 2 .8-4.1L2 6.3l4.2-.5Z",
  columns: "M3 3h10v10H3zM8 3v10",
  filter: "M2 4h12M4.5 8h7M7 12h2",
  play: "M5 3.5v9l7-4.5Z",
  pause: "M5 3v10M11 3v10",
  sun: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm0-9.5V3m0 10v1.5M1.5 8H3m10 0h1.5M3.4 3.4l1 1m7.2 7.2 1 1m0-9.2-1 1m-7.2 7.2-1 1",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5Z",
  system: "M2 3h12v8H2zM6 14h4M8 11v3",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM6.2 6.3a1.8 1.8 0 1 1 2.6 1.6c-.5.3-.8.6-.8 1.1m0 2v.2",
  user: "M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8Zm-5 6c.4-2.6 2.4-4 5-4s4.6 1.4 5 4",
  open: "M7 3H3v10h10V9M9.5 2.5h4v4m0-4L7.5 8.5",
  around: "M8 2v3m0 6v3M3 8h10M5.5 4 8 1.5 10.5 4m-5 8L8 14.5l2.5-2.5",
  grip: "M6 3.5v.01M10 3.5v.01M6 8v.01M10 8v.01M6 12.5v.01M10 12.5v.01",
  trash: "M3 4.5h10M6.5 4V2.5h3V4m-5 .5.6 9h5.8l.6-9",
  warning: "M8 2.5 14.5 13.5h-13ZM8 6.5v3m0 2v.2",
  refresh: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3",
  rows: "M2.5 4h11M2.5 8h11M2.5 12h11",
  wrap: "M2.5 4h11M2.5 8h9a2 2 0 0 1 0 4H8m0 0 1.5-1.5M8 12l1.5 1.5M2.5 12h3",
  menu: "M2.5 4.5h11M2.5 8h11M2.5 11.5h11",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
