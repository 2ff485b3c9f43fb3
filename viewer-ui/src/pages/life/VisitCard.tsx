// One visit: its events, and how long nothing was done before it.
import { Fragment } from "preact";
import { Text } from "../../components/Text";
import { pageOf } from "../../components/Value";
import { counted } from "../../numbers";
import { clock, day, shortMoment, spanText } from "../../time";
import { EventRow } from "./EventRow";
import type { LifeKind } from "./state";
import { PAUSE_SECONDS, type Order, type Visit } from "./visits";

function Gap({ seconds }: { seconds: number | null }) {
  if (seconds === null || seconds < PAUSE_SECONDS) return null;
  return (
    <p class="gap">
      <span>nothing for {spanText(seconds)}</span>
    </p>
  );
}

export function VisitCard({ visit, order, kind, last }: { visit: Visit; order: Order; kind: LifeKind; last: boolean }) {
  const { session, entries, since, until } = visit;
  const [start, end] = [new Date(since), new Date(until)];
  const sameDay = day(start) === day(end);
  const address = session && kind.of !== "session" ? pageOf("session", session) : null;
  return (
    <>
      {order === "oldest" && <Gap seconds={visit.gap} />}
      <section class="visit">
        <h2>
          {day(start)}{" "}
          <span class="muted">
            {clock(start)} – {sameDay ? clock(end) : shortMoment(end)}
          </span>
        </h2>
        <p class="visit-facts">
          {counted(entries.length, "event")}
          {until > since && ` in ${spanText(Math.round((until - since) / 1000) || (until - since) / 1000)}`}
          {address ? (
            <a href={address} title={session!.slice(0, 200)}>
              session <Text text={session!} limit={20} />
            </a>
          ) : (
            kind.of !== "session" && <span class="muted">no session</span>
          )}
        </p>
        <ol>
          {entries.map(({ cursor, event }, at) => {
            const today = day(String(event["timestamp"]));
            return (
              <Fragment key={cursor}>
                {!sameDay && (!at || today !== day(String(entries[at - 1]!.event["timestamp"]))) && <li class="visit-day">{today}</li>}
                <EventRow event={event} />
              </Fragment>
            );
          })}
        </ol>
      </section>
      {order === "newest" && !last && <Gap seconds={visit.gap} />}
    </>
  );
}
