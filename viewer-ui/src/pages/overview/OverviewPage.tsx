// Traffic at a glance: how much, by whom, how fast, how well, and what changed; the robots apart.
import { useAnswer } from "../../api";
import { incomplete } from "../../components/State";
import { choice, from, href, query, to } from "../../location";
import { shortMoment, zone } from "../../time";
import type { Histogram } from "../../types";
import { Head, Segments } from "../analysis/Form";
import { Result } from "../analysis/Result";
import { Timeline } from "../events/Timeline";
import { by } from "../events/state";
import { Tiles } from "./Tiles";
import { Tops } from "./Tops";
import type { Summaries } from "./types";

const against = choice("compare", ["previous", "week", "none"]);

export function OverviewPage() {
  const scope = { q: query.value, from: from.value, to: to.value, tz: zone.value };
  const compare = from.value ? against.value : "none";
  const traffic = useAnswer<Histogram | null>("histogram", { ...scope, by: by.value });
  const asked = useAnswer<Summaries>("summary", { ...scope, compare, limit: 10 });
  return (
    <div class="content">
      <Head title="Overview">
        <Segments
          label="Compare with"
          name="compare"
          value={compare}
          disabled={!from.value}
          options={{ previous: "Period before", week: "Same weekday", none: "No comparison" }}
        />
      </Head>
      <section class="card">
        <Timeline asked={traffic} />
      </section>
      <Result
        asked={{ ...asked, data: asked.data && { ...asked.data, answer: { ...asked.data.answer, partial: asked.data.answer.now.partial } } }}
        what="Traffic"
      >
        {({ now, before, scope_before }) => (
          <>
            <p class="hint">
              People and what they use; robots stand apart.{" "}
              {scope_before ? (
                <>
                  Compared with {shortMoment(scope_before.from)} – {shortMoment(scope_before.to)}
                  {incomplete(before?.partial) && ", of which not all was looked at"}.
                </>
              ) : (
                !from.value && (
                  <>
                    All time has nothing to compare with: <a href={href({ from: "now-7d", to: null })}>look at the last 7 days</a>.
                  </>
                )
              )}
            </p>
            <Tiles now={now} before={before} />
            <Tops now={now} />
          </>
        )}
      </Result>
    </div>
  );
}
