// One event beside the table: its fields and its JSON, where it leads to, and the ones before and after it.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useAnswer } from "../../api";
import { EventJson } from "../../components/EventJson";
import { EventTree } from "../../components/EventTree";
import { Empty, ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Summary } from "../../components/Summary";
import { pageOf, Value } from "../../components/Value";
import { valueOf } from "../../config";
import { go, href } from "../../location";
import { Icon, type IconName } from "../../shell/Icon";
import { copy } from "../../shell/notice";
import { ago, moment, zone } from "../../time";
import type { AuditEvent, Entry, Found } from "../../types";
import { frozenLink, selected } from "./state";

const tab = signal<"fields" | "json">("fields");
const hideNothing = signal(true);

interface DetailsProps {
  /** The event where it is among the rows; else it is asked for by its id. */
  entry: Entry | undefined;
  onStep: (step: 1 | -1) => void;
  canStep: (step: 1 | -1) => boolean;
}

export function Details({ entry, onStep, canStep }: DetailsProps) {
  const id = selected.value;
  const asked = useAnswer<Found>(entry ? null : "event", { id });
  const event = entry?.event ?? (asked.data?.answer.event?.["id"] === id ? asked.data.answer.event : undefined);
  const scroller = useRef<HTMLDivElement>(null);
  useEffect(() => scroller.current?.scrollTo(0, 0), [id]);
  const close = (): void => go({ sel: null });
  return (
    <aside class="details" aria-label="Event in detail">
      <div class="details-bar">
        <button type="button" class="button quiet small square" aria-label="Previous event" title="Previous (k)" disabled={!canStep(-1)} onClick={() => onStep(-1)}>
          <Icon name="up" />
        </button>
        <button type="button" class="button quiet small square" aria-label="Next event" title="Next (j)" disabled={!canStep(1)} onClick={() => onStep(1)}>
          <Icon name="chevron" />
        </button>
        <div class="segmented" role="group" aria-label="Show as">
          <button type="button" aria-pressed={tab.value === "fields"} onClick={() => (tab.value = "fields")}>
            Fields
          </button>
          <button type="button" aria-pressed={tab.value === "json"} onClick={() => (tab.value = "json")}>
            JSON
          </button>
        </div>
        <span class="spring" />
        <button type="button" class="button quiet small square" aria-label="Copy a link to this event" title="Copy a link" onClick={() => void copy(frozenLink(), "Link copied")}>
          <Icon name="link" />
        </button>
        <button
          type="button"
          class="button quiet small square"
          aria-label="Copy as JSON"
          title="Copy as JSON"
          disabled={!event}
          onClick={() => void copy(JSON.stringify(event, null, 2), "JSON copied")}
        >
          <Icon name="copy" />
        </button>
        <button type="button" class="button quiet small square" aria-label="Close the details" title="Close (Esc)" onClick={close}>
          <Icon name="close" />
        </button>
      </div>
      <div ref={scroller} class="details-scroll" tabIndex={0} role="region" aria-label="Fields of the event">
        {event ? (
          <Body event={event} />
        ) : asked.error ? (
          <ErrorNote error={asked.error} retry={asked.retry} />
        ) : asked.data && !asked.busy ? (
          <Empty title="There is no such event">
            <PartialNote partial={asked.data.answer.partial} retry={asked.retry} />
            <p>It may have been removed by the retention, or you may not see it.</p>
          </Empty>
        ) : (
          <Skeleton lines={10} />
        )}
      </div>
    </aside>
  );
}

function Body({ event }: { event: AuditEvent }) {
  const time = valueOf(event, "time");
  const value = (name: string) => {
    const found = valueOf(event, name);
    return found === undefined || found === null ? null : <Value field={name} value={found} limit={80} />;
  };
  return (
    <>
      <header class="details-title">
        <h2>
          <Summary event={event} />
        </h2>
        <p>
          {value("level")} {value("status")} {value("dur")}
        </p>
        {typeof time === "string" && (
          <p class="muted">
            <time dateTime={time} title={time}>
              {moment(time, 6)} {zone.value}
            </time>{" "}
            · {ago(time)}
          </p>
        )}
      </header>
      <Links event={event} />
      {tab.value === "json" ? (
        <EventJson event={event} />
      ) : (
        <>
          <EventTree event={event} hideNothing={hideNothing.value} />
          <label class="check">
            <input type="checkbox" checked={hideNothing.value} onChange={(change) => (hideNothing.value = change.currentTarget.checked)} /> Hide what is
            null or empty
          </label>
        </>
      )}
    </>
  );
}

const LINKS: [field: string, title: string, icon: IconName][] = [
  ["trace", "Trace", "rows"],
  ["session", "Session", "clock"],
  ["user", "User", "user"],
  ["ip", "Client", "system"],
];

function Links({ event }: { event: AuditEvent }) {
  const found = LINKS.flatMap(([field, title, icon]) => {
    const value = valueOf(event, field);
    const address = typeof value === "string" ? pageOf(field, value) : null;
    return address ? [{ title, icon, address }] : [];
  });
  return (
    <nav class="details-links" aria-label="What belongs to this event">
      <a class="button small" href={href({ around: String(event["id"]), sel: null, live: null })} title="What happened around it (c)">
        <Icon name="around" /> Around it
      </a>
      {found.map(({ title, icon, address }) => (
        <a key={title} class="button small" href={address}>
          <Icon name={icon} /> {title}
        </a>
      ))}
    </nav>
  );
}
