// Pages of the application, as summaries and paths name them: a route, or the template of a path.
import { Text } from "../../components/Text";
import { filtered } from "../../components/Value";
import { pageHref } from "../../location";
import { quoted } from "../../querytext";
import { openMenu } from "../../shell/Menu";
import { copy } from "../../shell/notice";

/** The query for a page: the route; or, where events have none, paths of its shape. */
export function pageClause(name: string): string {
  const shape = name
    .split("{id}")
    .map((part) => part.replace(/[*?"(),\\<>]/g, "\\$&"))
    .join("*");
  const path = /\s|\.\./.test(name) ? quoted(name) : shape; // what no shape can have: spaces, and a range's dots
  return `(route:${quoted(name)} OR -route:* path:${path})`;
}

/** A page's name, and what can be done with it. */
export function PageName({ name }: { name: string }) {
  const clause = pageClause(name);
  return (
    <button
      type="button"
      class="value"
      aria-haspopup="menu"
      onClick={(event) =>
        openMenu(event.currentTarget, name.slice(0, 80), [
          { label: "Filter for this page", icon: "plus", href: filtered(clause) },
          { label: "Show its events", icon: "rows", href: pageHref("events", { q: clause }) },
          { label: "Where they go from here", icon: "right", href: pageHref("paths", { anchor: clause }), separated: true },
          { label: "Where they came from", icon: "left", href: pageHref("paths", { anchor: clause, backward: true }) },
          { label: "Copy the name", icon: "copy", run: () => void copy(name), separated: true },
        ])
      }
    >
      <Text text={name} limit={120} />
    </button>
  );
}
