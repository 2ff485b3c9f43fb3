// What most requests have in common, list by list: a bar for people, and robots beside it.
import type { ComponentChildren } from "preact";
import { PartialNote } from "../../components/State";
import { Text } from "../../components/Text";
import { filtered, pageOf, Value } from "../../components/Value";
import { count } from "../../numbers";
import { PageName } from "../analysis/pageName";
import type { Lists, Summary } from "./types";

const LISTS: readonly [list: Lists, title: string, of: string, cell: (value: string) => ComponentChildren][] = [
  ["pages", "Pages", "Page", (value) => <PageName name={value} />],
  [
    "referrers",
    "Referrers",
    "Site",
    (value) => (/^[\w.-]+$/.test(value) ? <a href={filtered(`referrer:*//${value}*`)}>{value}</a> : <Text text={value} limit={80} />),
  ],
  ["not_found", "Not found (404)", "Path", (value) => <Value field="path" value={value} limit={120} />],
  [
    "ips",
    "Clients",
    "Address",
    (value) => (
      <a href={pageOf("ip", value) ?? ""}>
        <Text text={value} limit={60} />
      </a>
    ),
  ],
  ["agents", "User agents", "User agent", (value) => <Value field="agent" value={value} limit={160} />],
];

export function Tops({ now }: { now: Summary }) {
  return (
    <div class="tops">
      {LISTS.map(([list, title, of, cell]) => {
        const { shares, partial } = now[list];
        const most = Math.max(1, ...shares.map(({ people, bots }) => people + bots));
        return (
          <section key={list} class="card">
            <h2>{title}</h2>
            <PartialNote partial={partial} />
            {shares.length ? (
              <table class="ranking">
                <thead>
                  <tr>
                    <th scope="col">{of}</th>
                    <th scope="col" class="numeric">
                      People
                    </th>
                    <th scope="col" class="numeric">
                      Robots
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {shares.map(({ value, people, bots }) => (
                    <tr key={value}>
                      <td>
                        {cell(value)}
                        <span class="meter">
                          <i style={{ width: `${(people / most) * 100}%` }} />
                          <i class="bots" style={{ width: `${(bots / most) * 100}%` }} />
                        </span>
                      </td>
                      <td class="numeric">{count(people)}</td>
                      <td class="numeric muted">{count(bots)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            ) : (
              <p class="hint">None in this range.</p>
            )}
          </section>
        );
      })}
    </div>
  );
}
