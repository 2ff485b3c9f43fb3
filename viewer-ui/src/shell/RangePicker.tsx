// The range that every page is about: the last so much, or from one moment to another, in the page's zone.
import { useState } from "preact/hooks";
import { from, go, to } from "../location";
import { fromWall, isRelative, moment, rangeName, resolved, zone } from "../time";
import { Icon } from "./Icon";
import { Popover } from "./Popover";

const RECENT = ["15m", "1h", "6h", "24h", "7d", "30d", "90d", "365d"];

/** Change the range, and forget places that were in the old one. */
export function setRange(start: string, end: string): void {
  go({ from: start, to: end, after: null, before: null });
}

export function RangePicker() {
  const name = rangeName(from.value, to.value);
  return (
    <Popover
      label={`Time range: ${name}`}
      class="button range-button"
      align="right"
      button={
        <>
          <Icon name="clock" />
          <span>{name}</span>
          <Icon name="chevron" />
        </>
      }
    >
      {(close) => <Panel close={close} />}
    </Popover>
  );
}

function Panel({ close }: { close: () => void }) {
  const chosen = (start: string, end: string): void => {
    close();
    setRange(start, end);
  };
  return (
    <div class="range-panel">
      <div class="range-recent" role="group" aria-label="Recent">
        <button type="button" aria-pressed={!from.value && !to.value} onClick={() => chosen("", "")}>
          All time
        </button>
        {RECENT.map((span) => (
          <button
            key={span}
            type="button"
            aria-pressed={from.value === `now-${span}` && (!to.value || to.value === "now")}
            onClick={() => chosen(`now-${span}`, "")}
          >
            {rangeName(`now-${span}`, "")}
          </button>
        ))}
      </div>
      <Absolute chosen={chosen} />
    </div>
  );
}

function Absolute({ chosen }: { chosen: (start: string, end: string) => void }) {
  const [start, setStart] = useState(() => written(from.value));
  const [end, setEnd] = useState(() => written(to.value));
  const [wrong, setWrong] = useState("");
  const apply = (event: Event): void => {
    event.preventDefault();
    const [first, last] = [read(start), read(end)];
    if (first === null || last === null) return setWrong("Expected a time such as 2026-11-20 14:30, or now-3h");
    const [low, high] = [resolved(first), resolved(last)];
    if (low && high && low >= high) return setWrong("The range is empty: it ends before it begins");
    chosen(first, last);
  };
  return (
    <form class="range-absolute" onSubmit={apply}>
      <label>
        From
        <input value={start} placeholder="the beginning" spellcheck={false} onInput={(event) => setStart(event.currentTarget.value)} />
      </label>
      <label>
        To
        <input value={end} placeholder="now" spellcheck={false} onInput={(event) => setEnd(event.currentTarget.value)} />
      </label>
      {wrong ? (
        <p class="field-error" role="alert">
          {wrong}
        </p>
      ) : (
        <p class="hint">
          Times in {zone.value}: <code>2026-11-20 14:30</code>, or before now: <code>now-3h</code>
        </p>
      )}
      <button type="submit" class="button primary">
        Apply
      </button>
    </form>
  );
}

/** An end of the range as it can be edited: a wall-clock time of the page's zone. */
function written(end: string): string {
  const time = isRelative(end) ? null : resolved(end);
  return time ? moment(end, 0) : end;
}

/** What was typed, as the address has it; null when it is no time. */
function read(typed: string): string | null {
  const text = typed.trim();
  if (!text || /^now(-(\d+[smhdw])+)?$/.test(text)) return text;
  if (/^(\d+[smhdw])+$/.test(text)) return `now-${text}`;
  const wall = fromWall(text);
  if (wall) return wall.toISOString().replace(".000Z", "Z");
  return /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) && resolved(text) ? text : null;
}
