// The figures, each with what it was before and what robots add to it.
import { bytes, count, percent } from "../../numbers";
import { spanText } from "../../time";
import type { Summary, Traffic } from "./types";

interface Tile {
  of: keyof Traffic;
  name: string;
  told: string;
  show?: (value: number) => string;
  /** More of it is worse. */
  bad?: boolean;
}

const time = (value: number): string => spanText(Number((value / 1e9).toPrecision(2)));

const TILES: readonly Tile[] = [
  { of: "requests", name: "Requests", told: "HTTP requests" },
  { of: "visitors", name: "Visitors", told: "Told apart by user, else by session, else by address and user agent" },
  { of: "users", name: "Users", told: "Users who were logged in" },
  { of: "sessions", name: "Sessions", told: "Sessions with an event" },
  { of: "errors", name: "Errors", told: "Responses of 500 and above, and events of level error or critical", bad: true },
  { of: "client_errors", name: "Client errors", told: "Responses of 400 to 499", bad: true },
  { of: "p50_ns", name: "Duration p50", told: "Half of the requests took at most this long", show: time, bad: true },
  { of: "p95_ns", name: "Duration p95", told: "95 % of the requests took at most this long", show: time, bad: true },
  { of: "p99_ns", name: "Duration p99", told: "99 % of the requests took at most this long", show: time, bad: true },
  { of: "size_bytes", name: "Sent", told: "Bodies of responses", show: bytes },
];

export function Tiles({ now, before }: { now: Summary; before: Summary | null }) {
  return (
    <dl class="tiles">
      {TILES.map((tile) => (
        <Figure key={tile.of} tile={tile} now={now} before={before} />
      ))}
    </dl>
  );
}

function Figure({ tile, now, before }: { tile: Tile; now: Summary; before: Summary | null }) {
  const { of, name, told, show = count } = tile;
  const value = now.people[of];
  const bots = now.bots[of];
  return (
    <div class="card tile">
      <dt title={told}>{name}</dt>
      <dd>
        <strong>{value === null ? "–" : show(value)}</strong>
        {before && value !== null && <Change now={value} before={before.people[of] ?? 0} show={show} bad={tile.bad} />}
        {bots ? <small>robots {show(bots)}</small> : <small>no robots</small>}
      </dd>
    </div>
  );
}

function Change({ now, before, show, bad }: { now: number; before: number; show: (value: number) => string; bad: boolean | undefined }) {
  const change = before ? now / before - 1 : 0;
  const small = Math.abs(change) < 0.005;
  const tone = !bad || small || now === before ? "" : now > before ? "worse" : "better";
  const told =
    now === before
      ? "unchanged"
      : !before
        ? "none before"
        : small
          ? "about as before"
          : `${change > 0 ? "▲" : "▼"} ${change >= 9.995 ? `${Math.round(change + 1)} times` : percent(Math.abs(change))}`;
  return (
    <small class={`change ${tone}`} title={`${show(before)} before`}>
      {told}
      <span class="offscreen">
        {change > 0 ? " more" : change < 0 ? " less" : ""}, {show(before)} before
      </span>
    </small>
  );
}
