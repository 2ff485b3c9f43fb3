// What most of somebody's events have in common, beside them.
import { useAnswer } from "../../api";
import { ErrorNote, PartialNote, Skeleton } from "../../components/State";
import { Text } from "../../components/Text";
import { pageOf, Value } from "../../components/Value";
import { count } from "../../numbers";
import { clause } from "../../querytext";
import { zone } from "../../time";
import type { Facet } from "../../types";
import { id, type LifeKind } from "./state";

export function Frequent({ kind }: { kind: LifeKind }) {
  const asked = useAnswer<Facet[]>("facets", { q: clause(kind.field, id.value), fields: kind.facets.join(","), limit: 6, tz: zone.value });
  if (!asked.data) return asked.error ? <ErrorNote error={asked.error} retry={asked.retry} /> : <Skeleton lines={8} />;
  return (
    <>
      {asked.data.answer.map(({ field, values, distinct, partial }) => {
        const known = values.filter(({ value }) => value !== null);
        if (!known.length && field !== "user") return null;
        return (
          <section key={field} class="card">
            <h2>
              {TITLES[field] ?? field} {distinct > values.length && <small>of {count(distinct)}</small>}
            </h2>
            <PartialNote partial={partial} />
            <ul class="ranking">
              {known.map(({ value, events }) => (
                <li key={value}>
                  {pageOf(field, value!) ? (
                    <a href={pageOf(field, value!)!}>
                      <Text text={value!} limit={40} />
                    </a>
                  ) : (
                    <Value field={field} value={value} limit={90} />
                  )}
                  <span class="numeric">{count(events)}</span>
                </li>
              ))}
              {known.length === 0 && <li class="muted">none</li>}
            </ul>
          </section>
        );
      })}
    </>
  );
}

const TITLES: Record<string, string> = {
  name: "Name",
  user: "Users",
  session: "Sessions",
  ip: "Clients",
  agent: "User agents",
  event: "Events",
  status: "Status",
  service: "Services",
  path: "Paths",
};
