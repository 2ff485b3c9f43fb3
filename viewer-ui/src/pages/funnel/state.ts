// What a funnel is of, in the address.
import { computed } from "@preact/signals";
import { choice, flag, from, go, href, list, query, text, to, type Changes } from "../../location";
import { zone } from "../../time";
import { UNIT_WORDS } from "../analysis/Form";

export const MOST_STEPS = 8;

export const steps = list("step", ["", ""]);
export const unit = choice("unit", UNIT_WORDS);
export const strict = flag("strict");
export const span = text("window");
export const breakdown = text("breakdown");
/** Whose list is shown: of those at which step, whether all or those who came no further, and of which segment. */
export const shown = text("at");
export const outcome = choice("outcome", ["reached", "dropped"]);
export const ofSegment = flag("segment");
export const segment = text("value");

export const NO_LIST: Changes = { at: null, outcome: null, segment: null, value: null };

/** The question as the API takes it; null while a step is to be written. */
export const funnel = computed(() =>
  steps.value.length >= 2 && steps.value.every(Boolean)
    ? {
        q: query.value,
        from: from.value,
        to: to.value,
        tz: zone.value,
        step: steps.value,
        unit: unit.value,
        strict: strict.value,
        window: span.value,
        breakdown: breakdown.value,
      }
    : null,
);

export const setSteps = (changed: readonly string[]): void => go({ step: changed, ...NO_LIST });

/** The address of the list behind a number. */
export function listHref(step: number, which: "reached" | "dropped", of?: string | null): string {
  return href({ at: step, outcome: which === "reached" ? null : which, segment: of !== undefined, value: of ?? null });
}
