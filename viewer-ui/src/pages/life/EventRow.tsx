// An event in a list: one line, and all of it below when it is chosen.
import type { ComponentChildren } from "preact";
import { EventTree } from "../../components/EventTree";
import { Summary } from "../../components/Summary";
import { Value } from "../../components/Value";
import { valueOf } from "../../config";
import { go, pageHref, text } from "../../location";
import { Icon } from "../../shell/Icon";
import { useKeys } from "../../shell/keys";
import { clock, moment } from "../../time";
import type { AuditEvent } from "../../types";

const selected = text("sel");

/** j and k lead from event to event. */
export function useRowKeys(): void {
  const step = (by: number): void => {
    const all = [...document.querySelectorAll<HTMLElement>("button.opener")];
    const at = all.indexOf(document.activeElement as HTMLElement);
    all[Math.max(0, Math.min(all.length - 1, at + by))]?.focus();
  };
  useKeys([
    { key: "j", told: "Next event", run: () => step(1) },
    { key: "k", told: "Previous event", run: () => step(-1) },
  ]);
}

/** The status; of an event that has none, its level where it is not the usual one. */
export function Tone({ event }: { event: AuditEvent }) {
  const status = valueOf(event, "status");
  if (status !== undefined && status !== null) return <Value field="status" value={status} focusable={false} />;
  const level = valueOf(event, "level");
  return level && level !== "info" ? <Value field="level" value={level} focusable={false} limit={16} /> : null;
}

/** Opens the event below; `children` are shown in it. */
export function Opener({ event, children }: { event: AuditEvent; children: ComponentChildren }) {
  const id = String(event["id"]);
  const open = selected.value === id;
  return (
    <button type="button" class="opener" aria-expanded={open} onClick={() => go({ sel: open ? null : id }, { replace: true })}>
      <Icon name={open ? "chevron" : "right"} />
      {children}
    </button>
  );
}

/** All of the event, when it is the chosen one. */
export function Opened({ event }: { event: AuditEvent }) {
  const id = String(event["id"]);
  if (selected.value !== id) return null;
  return (
    <div class="opened">
      <a class="button small" href={pageHref("events", { q: null, from: null, to: null, around: id, sel: id })}>
        <Icon name="around" /> Around it, among all events
      </a>
      <EventTree event={event} hideNothing />
    </div>
  );
}

export function EventRow({ event }: { event: AuditEvent }) {
  const time = String(event["timestamp"]);
  const duration = valueOf(event, "dur");
  const service = valueOf(event, "service");
  return (
    <li class="event-row">
      <Opener event={event}>
        <time dateTime={time} title={moment(time, 6)}>
          {clock(time)}
        </time>
      </Opener>
      <span class="event-tone">
        <Tone event={event} />
      </span>
      <Summary event={event} />
      <span class="event-service">{typeof service === "string" && <Value field="service" value={service} focusable={false} limit={24} />}</span>
      <span class="event-dur">{typeof duration === "number" && <Value field="dur" value={duration} focusable={false} />}</span>
      <Opened event={event} />
    </li>
  );
}
