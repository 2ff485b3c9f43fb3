// What all services did for one request: when each part began, how long it took, and which part called which.
import { useMemo } from "preact/hooks";
import { useAnswer } from "../../api";
import { Empty, ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Summary } from "../../components/Summary";
import { Text } from "../../components/Text";
import { Value } from "../../components/Value";
import { valueOf } from "../../config";
import { pageHref, text } from "../../location";
import { count, counted } from "../../numbers";
import { clause } from "../../querytext";
import { Icon } from "../../shell/Icon";
import { ago, moment, spanText } from "../../time";
import type { AuditEvent } from "../../types";
import { Working } from "../analysis/Working";
import { Opened, Opener, Tone, useRowKeys } from "../life/EventRow";
import { Fact } from "../life/Facts";
import type { Timeline } from "../life/useLife";
import { tree, type Span } from "./spans";

const id = text("id");
const LIMIT = 1000;

export function TracePage() {
  useRowKeys();
  const asked = useAnswer<Timeline>(id.value ? "timeline/trace" : null, { id: id.value, order: "oldest", limit: LIMIT });
  const answer = asked.data?.answer;
  const spans = useMemo(() => tree(answer?.visits.flatMap(({ entries }) => entries.map(({ event }) => event)) ?? []), [answer]);
  return (
    <div class="content">
      <div class="page-title">
        <h1>
          Trace <Value field="trace" value={id.value} limit={80} />
        </h1>
        <Working />
        <a class="button" href={pageHref("events", { q: clause("trace", id.value), from: null, to: null })}>
          <Icon name="rows" /> Show as events
        </a>
      </div>
      <ErrorNote error={asked.error} retry={asked.retry} />
      <PartialNote partial={answer?.partial} retry={asked.retry} what="The trace" />
      {spans.length > 0 ? (
        <>
          <Facts spans={spans} />
          {answer!.next && (
            <p class="note warning">
              <span>
                The first {count(LIMIT)} of {counted(answer!.life?.events ?? LIMIT, "event")} are shown.
              </span>
            </p>
          )}
          <Waterfall spans={spans} />
        </>
      ) : asked.busy ? (
        <Skeleton lines={8} />
      ) : (
        !asked.error && (
          <Empty title={id.value ? "There is no event of this trace" : "Which trace?"}>
            <p>{id.value ? "It may have been removed by the retention, or you may not see it." : "Choose one where an event shows it."}</p>
            <a class="button" href={pageHref("events")}>
              Go to the events
            </a>
          </Empty>
        )
      )}
    </div>
  );
}

const end = ({ start, duration }: Span): number => start + (duration ?? 0);
const servicesOf = (spans: readonly Span[]): string[] => [...new Set(spans.map(({ service }) => service))];

function Facts({ spans }: { spans: readonly Span[] }) {
  const start = Math.min(...spans.map((one) => one.start));
  const begun = new Date(start).toISOString();
  const users = [...new Set(spans.map(({ event }) => valueOf(event, "user")))].filter((user) => user !== undefined && user !== null);
  const links = (field: string, name: string) => {
    const found = [...new Set(spans.map(({ event }) => valueOf(event, field)))].filter((value) => value !== undefined && value !== null);
    return (
      found.length > 0 && (
        <Fact name={name}>
          {found.slice(0, 3).map((value) => (
            <Value key={String(value)} field={field} value={value!} limit={24} />
          ))}
        </Fact>
      )
    );
  };
  return (
    <dl class="figures">
      <Fact name="Began" detail={ago(begun)}>
        {moment(begun)}
      </Fact>
      <Fact name="Took">{spanText((Math.max(...spans.map(end)) - start) / 1000)}</Fact>
      <Fact name="Events">{count(spans.length)}</Fact>
      <Fact name={servicesOf(spans).length === 1 ? "Service" : "Services"}>
        <Text
          text={servicesOf(spans)
            .map((name) => name || "no name")
            .join(", ")}
          limit={120}
        />
      </Fact>
      {links("service.host", "Hosts")}
      {links("session", "Session")}
      {users.length > 0 && links("user", "User")}
    </dl>
  );
}

function Waterfall({ spans }: { spans: readonly Span[] }) {
  const start = Math.min(...spans.map((one) => one.start));
  const total = Math.max(...spans.map(end)) - start || 1;
  const services = servicesOf(spans);
  const lost = spans.filter((one) => one.lost).length;
  return (
    <section class="card flush" aria-label="Waterfall">
      <table class="waterfall" role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">
              Event
            </th>
            <th role="columnheader" scope="col">
              Service
            </th>
            <th role="columnheader" scope="col" class="numeric">
              Start
            </th>
            <th role="columnheader" scope="col" class="numeric">
              Took
            </th>
            <th role="columnheader" scope="col" class="ticks" aria-label="When, of the whole trace">
              <div>
                {[0, 0.25, 0.5, 0.75, 1].map((part) => (
                  <span key={part}>{spanText(Number(((total * part) / 1000).toPrecision(3)))}</span>
                ))}
              </div>
            </th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {spans.map((one) => (
            <Row key={String(one.event["id"])} span={one} start={start} total={total} colour={(services.indexOf(one.service) % 5) + 1} />
          ))}
        </tbody>
      </table>
      {lost > 0 && (
        <p class="hint">
          {counted(lost, "event")} {lost === 1 ? "tells" : "tell"} of a caller that is not among the events: that service does not record here, or you
          may not see it.
        </p>
      )}
    </section>
  );
}

function Row({ span, start, total, colour }: { span: Span; start: number; total: number; colour: number }) {
  const { event, service, duration, depth, lost } = span;
  const host = valueOf(event, "service.host");
  const after = span.start - start;
  return (
    <>
      <tr role="row">
        <td role="cell" class="what" style={{ paddingLeft: `${8 + Math.min(depth, 12) * 16}px` }}>
          <div>
            <Opener event={event}>
              <span class="offscreen">Details, level {depth + 1}</span>
            </Opener>
            <Tone event={event} />
            <Summary event={event} />
            {lost && (
              <span class="muted" title="Its caller is not among the events">
                ⤴
              </span>
            )}
          </div>
        </td>
        <td role="cell" class="service">
          <i class="swatch" style={{ background: `var(--series-${colour})` }} />
          {service ? <Value field="service" value={service} limit={32} /> : <span class="muted">no name</span>}
          {host && (
            <span class="muted">
              {" on "}
              <Value field="service.host" value={host} limit={24} />
            </span>
          )}
        </td>
        <td role="cell" class="numeric after">
          {after ? `+${spanText(after / 1000)}` : "0"}
        </td>
        <td role="cell" class="numeric took">
          {duration === null ? <span class="muted">–</span> : spanText(duration / 1000)}
        </td>
        <td role="cell" class="lane">
          <div>
            <i
              class={duration === null ? "point" : "took"}
              style={{
                left: `${(after / total) * 100}%`,
                width: duration === null ? undefined : `${((duration ?? 0) / total) * 100}%`,
                background: `var(--series-${colour})`,
              }}
            />
          </div>
        </td>
      </tr>
      <OpenedRow event={event} />
    </>
  );
}

function OpenedRow({ event }: { event: AuditEvent }) {
  return text("sel").value === event["id"] ? (
    <tr role="row" class="opened-row">
      <td role="cell" colSpan={5}>
        <Opened event={event} />
      </td>
    </tr>
  ) : null;
}
