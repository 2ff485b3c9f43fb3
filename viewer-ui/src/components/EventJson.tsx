// An event as JSON, in colours; of a long one the beginning.
import { useState, useMemo } from "preact/hooks";
import { bytes } from "../numbers";
import type { AuditEvent } from "../types";
import { Text } from "./Text";

const TOKEN = /"(?:[^"\\]|\\.)*"(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;
const FIRST = 20_000;

export function EventJson({ event }: { event: AuditEvent }) {
  const text = useMemo(() => JSON.stringify(event, null, 2), [event]);
  const [limit, setLimit] = useState(FIRST);
  const shown = text.slice(0, limit);
  const parts = [];
  let at = 0;
  for (const match of shown.matchAll(TOKEN)) {
    const kind = match[1] !== undefined ? "key" : match[0].startsWith('"') ? "string" : "literal";
    const token = match[1] !== undefined ? match[0].slice(0, -match[1].length) : match[0];
    parts.push(shown.slice(at, match.index));
    parts.push(
      <span class={`json-${kind}`}>
        <Text text={token} limit={FIRST} multiline />
      </span>,
    );
    at = match.index + token.length;
  }
  parts.push(shown.slice(at));
  return (
    <div class="json" role="region" aria-label="JSON" tabIndex={0}>
      <pre>{parts}</pre>
      {text.length > limit && (
        <button type="button" class="more" onClick={() => setLimit(limit * 10)}>
          show more ({bytes(text.length - limit)} hidden)
        </button>
      )}
    </div>
  );
}
