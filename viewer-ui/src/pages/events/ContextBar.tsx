// Around one event: with whom in common, and how far.
import { go, query } from "../../location";
import { valueOf } from "../../config";
import type { Context } from "../../types";
import { Icon } from "../../shell/Icon";
import { filteredContext, reach, same } from "./state";

const COMMON = [
  ["", "Everything"],
  ["trace", "Trace"],
  ["session", "Session"],
  ["user", "User"],
  ["ip", "Client"],
] as const;

export function ContextBar({ context }: { context: Context | undefined }) {
  const event = context?.entry?.event;
  return (
    <div class="context-bar" role="group" aria-label="Around the event">
      <strong>
        <Icon name="around" /> Around one event
      </strong>
      <div class="segmented" role="group" aria-label="With what in common">
        {COMMON.map(([name, title]) => (
          <button
            key={name}
            type="button"
            aria-label={name ? `Same ${title.toLowerCase()}` : title}
            title={name && `Only what has the same ${title.toLowerCase()}`}
            aria-pressed={same.value === name}
            disabled={Boolean(name && event && valueOf(event, name) === undefined)}
            onClick={() => go({ same: name }, { replace: true })}
          >
            {title}
          </button>
        ))}
      </div>
      <div class="segmented" role="group" aria-label="How many on each side">
        {(["10", "25", "100"] as const).map((number) => (
          <button key={number} type="button" aria-pressed={reach.value === number} onClick={() => go({ reach: number === "10" ? null : number }, { replace: true })}>
            ±{number}
          </button>
        ))}
      </div>
      <label class="check" title="Only what the query and the range ask for">
        <input
          type="checkbox"
          checked={filteredContext.value}
          disabled={!query.value}
          onChange={(event_) => go({ filtered: event_.currentTarget.checked }, { replace: true })}
        />{" "}
        Only matches
      </label>
      <span class="spring" />
      <button type="button" class="button small" onClick={() => go({ around: null, same: null, reach: null, filtered: null })}>
        <Icon name="left" /> All events
      </button>
    </div>
  );
}
