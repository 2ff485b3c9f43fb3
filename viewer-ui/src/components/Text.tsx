// Text from events: never HTML, each value isolated from the direction of its surroundings, and what cannot be seen
// (controls, marks of direction, characters of no width) shown as what it is.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { bytes } from "../numbers";

const HIDDEN =
  // eslint-disable-next-line no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;

const SHORT: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0" };

const code = (character: string): string => `U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}`;

/** The same as plain text, for titles and labels: what cannot be seen is written out, what is long is cut. */
export const visible = (text: string, limit = 300): string => text.slice(0, limit).replace(HIDDEN, (character) => SHORT[character] ?? `<${code(character)}>`);

function mark(character: string): ComponentChildren {
  return (
    <span class="mark" title={code(character)}>
      {SHORT[character] ?? code(character)}
    </span>
  );
}

function marked(text: string, multiline: boolean): ComponentChildren[] {
  const parts: ComponentChildren[] = [];
  let at = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (multiline && /[\n\t]/.test(match[0])) continue;
    parts.push(text.slice(at, match.index), mark(match[0]));
    at = match.index + match[0].length;
  }
  parts.push(text.slice(at));
  return parts;
}

/** The text of an event's value. `limit`: how many characters are shown at first; `more`: whether a button shows more. */
export function Text(props: { text: string; limit?: number; more?: boolean; multiline?: boolean }) {
  const { text, limit = 300, more = false, multiline = false } = props;
  const [shown, setShown] = useState(limit);
  const cut = text.length > shown;
  return (
    <>
      <bdi class={multiline ? "text multiline" : "text"}>
        {marked(cut ? text.slice(0, shown) : text, multiline)}
        {cut && "…"}
      </bdi>
      {cut && more && (
        <button type="button" class="more" onClick={() => setShown(shown * 10)}>
          show more ({bytes(text.length - shown)} hidden)
        </button>
      )}
    </>
  );
}
