// An event's members as a tree of fields; each value opens its menu. What is long is cut, and says so.
import { useState } from "preact/hooks";
import { nameOfPath } from "../config";
import { count, counted } from "../numbers";
import { spanText } from "../time";
import type { AuditEvent, Json } from "../types";
import { Text, visible } from "./Text";
import { Value } from "./Value";

const FIRST = 60;

const isGroup = (value: Json): value is Json[] | { [key: string]: Json } => typeof value === "object" && value !== null;
const isNothing = (value: Json): boolean => value === null || value === "" || (isGroup(value) && Object.keys(value).length === 0);

/** `hideNothing`: leaves out null, "" and what is empty. */
export function EventTree({ event, hideNothing }: { event: AuditEvent; hideNothing: boolean }) {
  return <Members value={event} path={[]} hideNothing={hideNothing} />;
}

function Members({ value, path, hideNothing }: { value: Json[] | { [key: string]: Json }; path: readonly string[]; hideNothing: boolean }) {
  const [limit, setLimit] = useState(FIRST);
  const list = Array.isArray(value);
  const members = Object.entries(value).filter(([, member]) => !hideNothing || !isNothing(member));
  return (
    <dl class="tree">
      {members.slice(0, limit).map(([key, member]) => (
        <Member key={key} name={key} value={member} path={list ? path : [...path, key]} hideNothing={hideNothing} />
      ))}
      {members.length > limit && (
        <div class="tree-more">
          <button type="button" class="more" onClick={() => setLimit(limit * 10)}>
            show more ({count(members.length - limit)} of {counted(members.length, "member")} hidden)
          </button>
        </div>
      )}
    </dl>
  );
}

function Member({ name, value, path, hideNothing }: { name: string; value: Json; path: readonly string[]; hideNothing: boolean }) {
  const [open, setOpen] = useState(path.length < 6);
  if (isGroup(value) && Object.keys(value).length) {
    // A list of plain values is shown in one line, unless it is long.
    if (Array.isArray(value) && value.length <= 8 && !value.some(isGroup)) {
      return (
        <div class="leaf">
          <dt title={visible(path.join("."))}>
            <Text text={name} limit={80} />
          </dt>
          <dd>
            {value.map((one, at) => (
              <span key={at} class="element">
                <Value field={nameOfPath(path)} value={one} more />
              </span>
            ))}
          </dd>
        </div>
      );
    }
    return (
      <div class="branch">
        <dt>
          <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
            <Text text={name} limit={80} />
            {Array.isArray(value) && <span class="muted"> [{value.length}]</span>}
          </button>
        </dt>
        <dd>{open && <Members value={value} path={path} hideNothing={hideNothing} />}</dd>
      </div>
    );
  }
  const field = nameOfPath(path);
  return (
    <div class="leaf">
      <dt title={visible(path.join("."))}>
        <Text text={name} limit={80} />
      </dt>
      <dd>
        {name === "stacktrace" && typeof value === "string" ? (
          <pre class="stack">
            <Text text={value} limit={4000} more multiline />
          </pre>
        ) : isGroup(value) ? (
          <span class="muted">{Array.isArray(value) ? "[ ]" : "{ }"}</span>
        ) : (
          <Value field={field} value={value} more />
        )}
        {name === "duration_ns" && typeof value === "number" && <span class="muted"> {spanText(value / 1e9) && `${count(value)} ns`}</span>}
      </dd>
    </div>
  );
}
