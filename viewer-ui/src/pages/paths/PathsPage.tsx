// Paths: where they went next from an anchor, or where they came from, step by step.
import { computed } from "@preact/signals";
import { useAnswer } from "../../api";
import { Empty } from "../../components/State";
import { choice, flag, from, go, href, query, text, to } from "../../location";
import { count, percent } from "../../numbers";
import { zone } from "../../time";
import type { Partial } from "../../types";
import { Check, Head, NOUNS, Segments, Select, UNITS, UNIT_WORDS } from "../analysis/Form";
import { PageName } from "../analysis/pageName";
import { QueryField } from "../analysis/QueryField";
import { Result, WithoutUnit } from "../analysis/Result";

interface Place {
  kind: "page" | "rest" | "end" | "start";
  page: string | null;
}

interface Paths {
  units: number;
  steps: { place: Place; units: number; share: number }[][];
  links: { step: number; source: Place | null; target: Place; units: number }[];
  without_unit: number;
  partial: Partial | null;
}

const anchor = text("anchor");
const among = text("among");
const unit = choice("unit", UNIT_WORDS);
const way = choice("backward", ["0", "1"]);
const repeats = flag("repeats");
const depth = choice("steps", ["3", "2", "4", "5", "6", "8", "10"]);
const top = choice("top", ["8", "5", "15", "30"]);

interface Spot {
  step: number;
  place: Place;
}

/** A place of a step as the address has it, such as "2 page /signup". */
const written = ({ step, place }: Spot): string => `${step} ${place.kind} ${place.page ?? ""}`;

const chosen = text("place");
const picked = computed<Spot | null>(() => {
  const [, step, kind, page] = /^(\d+) (page|rest|end|start) (.*)$/s.exec(chosen.value) ?? [];
  return kind ? { step: Number(step), place: { kind: kind as Place["kind"], page: kind === "page" ? page! : null } } : null;
});

const same = (a: Place | null, b: Place | null): boolean => a?.kind === b?.kind && a?.page === b?.page;

export function PathsPage() {
  const backward = way.value === "1";
  const params = {
    q: query.value,
    from: from.value,
    to: to.value,
    tz: zone.value,
    anchor: anchor.value,
    among: among.value,
    unit: unit.value,
    backward,
    repeats: repeats.value,
    steps: depth.value,
    top: top.value,
  };
  const asked = useAnswer<Paths>(anchor.value ? "paths" : null, params);
  return (
    <div class="content">
      <Head title="Paths" />
      <section class="card tools" aria-label="From where">
        <QueryField label="Anchor" value={anchor.value} placeholder="path:/pricing" run={(value) => go({ anchor: value })} />
        <QueryField label="Steps among" value={among.value} placeholder="all pages" run={(value) => go({ among: value })} />
        <Segments label="Direction" name="backward" value={way.value} options={{ "0": "Next", "1": "Before" }} />
        <Select label="Of" name="unit" value={unit.value} options={UNITS} />
        <Select label="Steps" name="steps" value={depth.value} options={words("2", "3", "4", "5", "6", "8", "10")} />
        <Select label="Pages" name="top" value={top.value} options={words("5", "8", "15", "30")} />
        <Check label="Repeats count" name="repeats" value={repeats.value} />
      </section>
      {anchor.value ? (
        <Result asked={asked} what="Paths">
          {(answer) => <Columns answer={answer} backward={backward} />}
        </Result>
      ) : (
        <Empty icon="right" title="From where?">
          <p>Write a query for where the paths begin: a page, or an event of the application.</p>
          <div class="actions">
            <a class="button" href={href({ anchor: "path:/" })}>
              An example: from the home page
            </a>
          </div>
        </Empty>
      )}
    </div>
  );
}

const words = <T extends string>(...all: T[]): Record<T, string> =>
  Object.fromEntries(all.map((word) => [word, word] as const)) as unknown as Record<T, string>;

function Columns({ answer, backward }: { answer: Paths; backward: boolean }) {
  const noun = NOUNS[unit.value];
  if (!answer.units) return <Empty title={`No ${noun} has an event that matches the anchor`} />;
  return (
    <section class="card" aria-label="Ways">
      <p class="funnel-total">
        <strong>{count(answer.units)}</strong> {answer.units === 1 ? noun : `${noun}s`} {backward ? "came to" : "went on from"} the anchor
      </p>
      <div class="paths" role="region" aria-label="Steps; scrolls" tabIndex={0}>
        {answer.steps.map((places, at) => (
          <section key={at}>
            <h2>{backward ? (at ? `${at + 1} steps before` : "Right before") : at ? `Step ${at + 1}` : "Right after"}</h2>
            {places.length ? (
              <ul>
                {places.map(({ place, units, share }) => (
                  <PlaceRow
                    key={place.kind + place.page}
                    place={place}
                    units={units}
                    share={share}
                    part={partOf(answer, at + 1, place)}
                    step={at + 1}
                  />
                ))}
              </ul>
            ) : (
              <p class="hint">Nobody came so far.</p>
            )}
          </section>
        ))}
      </div>
      <p class="hint">Choose a number to see, in the steps beside it, how many of them were there.</p>
      <WithoutUnit events={answer.without_unit} unit={unit.value} />
    </section>
  );
}

/** How many of those at a place are, in the step before or after, at the picked one; null where nothing is known. */
function partOf({ links }: Paths, step: number, place: Place): number | null {
  const { value: from } = picked;
  if (!from) return null;
  if (from.step === step) return same(from.place, place) ? -1 : null;
  if (Math.abs(from.step - step) !== 1) return null;
  const [later, source, target] = from.step < step ? [step, from.place, place] : [from.step, place, from.place];
  return links.find((link) => link.step === later && same(link.source, source) && same(link.target, target))?.units ?? 0;
}

const NAMES = { rest: "all other pages", end: "the end", start: "the beginning", page: "" };

function PlaceRow(props: { place: Place; units: number; share: number; part: number | null; step: number }) {
  const { place, units, share, part, step } = props;
  const here = part === -1;
  const known = place.kind === "page";
  return (
    <li class={`${here ? "picked" : ""} ${known ? "" : "other"}`}>
      <span class="path-name">{known ? <PageName name={place.page!} /> : NAMES[place.kind]}</span>
      <button
        type="button"
        class="drill"
        aria-pressed={here}
        aria-label={`${count(units)}, ${percent(share)}${part !== null && part >= 0 ? `, ${count(part)} of them by way of what is chosen` : ""}`}
        onClick={() => go({ place: here ? null : written({ step, place }) }, { replace: true })}
      >
        {part !== null && part >= 0 && <b>{count(part)} of </b>}
        {count(units)} <small>{percent(Number(share.toFixed(3)))}</small>
      </button>
      <span class="meter">
        <i class={part === null || here ? "" : "bots"} style={{ width: `${share * 100}%` }} />
        {part !== null && part > 0 && <i class="over" style={{ width: `${((share * part) / units) * 100}%` }} />}
      </span>
    </li>
  );
}
