// What the pages about a user, a session or a client keep in the address.
import { computed } from "@preact/signals";
import { choice, flag, text } from "../../location";
import { fromWall } from "../../time";

export const id = text("id");
const wanted = text("at");
/** The day to go to; what is no day is none. */
export const at = computed(() => (wanted.value.length === 10 && fromWall(wanted.value) ? wanted.value : ""));
export const only = text("only");
export const stitched = flag("stitched");
export const orders = { newest: choice("order", ["newest", "oldest"]), oldest: choice("order", ["oldest", "newest"]) };

/** What a page of this folder is about. */
export interface LifeKind {
  /** What the API calls it, and a query. */
  of: "user" | "session" | "client";
  field: string;
  title: string;
  /** What of it is worth knowing at a glance. */
  facets: readonly string[];
  /** What one reads first. */
  order: "newest" | "oldest";
}
