// The query as text: one edits it, is helped with fields and values, and sees what of it is not understood, and where.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { ask as askApi, busy, cancelAll } from "../../api";
import { query } from "../../location";
import { counted } from "../../numbers";
import { Icon } from "../../shell/Icon";
import { useKeys } from "../../shell/keys";
import type { Completion, Parsed, QueryError } from "../../types";
import { narrow } from "../../components/EventTable";
import { Text } from "../../components/Text";
import { ask, scope } from "./state";

export function QueryBar() {
  const field = useRef<HTMLTextAreaElement>(null);
  const [draft, setDraft] = useState(query.value);
  const [caret, setCaret] = useState<number | null>(null);
  const [parsed, setParsed] = useState<Parsed & { text: string }>({ canonical: "", errors: [], complete: null, text: "" });
  const [active, setActive] = useState(-1);
  const [closed, setClosed] = useState(true);
  useEffect(() => setDraft(query.value), [query.value]);
  useParsed(draft, caret, setParsed);
  useKeys([{ key: "/", told: "Edit the query", run: () => field.current?.focus() }]);
  useLayoutEffect(() => {
    const element = field.current!;
    element.style.height = "0";
    element.style.height = `${element.scrollHeight}px`;
  }, [draft]);

  const complete = !closed && caret !== null && parsed.text === draft ? parsed.complete : null;
  const items = complete?.items ?? [];
  const run = (text: string): void => {
    setClosed(true);
    ask({ q: text.trim() });
  };
  const accept = (completion: Completion, at: number): void => {
    const { text } = completion.items[at]!;
    const next = draft.slice(0, completion.start) + text + draft.slice(completion.end);
    const place = completion.start + text.length;
    setDraft(next);
    setActive(-1);
    requestAnimationFrame(() => {
      field.current?.setSelectionRange(place, place);
      setCaret(place);
    });
  };
  const keyed = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) setActive(active + step < -1 ? items.length - 1 : active + step >= items.length ? -1 : active + step);
    else if (event.key === "Tab" && complete && items.length && !event.shiftKey) accept(complete, Math.max(0, active));
    else if (event.key === "Enter" && complete && active >= 0) accept(complete, active);
    else if (event.key === "Enter") run(draft);
    else if (event.key === "Escape" && items.length) setClosed(true);
    else if (event.key === "Escape") field.current?.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const edited = (): void => {
    const element = field.current!;
    setDraft(element.value.replace(/[\r\n]+/g, " "));
    setCaret(element.selectionStart);
    setActive(-1);
    setClosed(false);
  };
  const errors = parsed.text === draft ? parsed.errors : [];
  const told = draft === query.value ? errors : [];
  return (
    <form class="query" role="search" onSubmit={(event) => (event.preventDefault(), run(draft))}>
      <div class={`query-field ${told.length ? "wrong" : ""}`}>
        <Icon name="search" />
        <div class="query-text">
          <Mirror text={draft} errors={errors} />
          <textarea
            ref={field}
            rows={1}
            value={draft}
            maxLength={16384}
            aria-label="Query"
            placeholder={narrow.value ? 'user:alice status:5xx "text"' : 'user:alice status:>=500 -path:/health "free text"'}
            aria-autocomplete="list"
            aria-controls={items.length > 0 ? "completions" : undefined}
            aria-activedescendant={active >= 0 ? `completion-${active}` : undefined}
            aria-invalid={told.length > 0}
            aria-describedby={told.length ? "query-errors" : undefined}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            onInput={edited}
            onKeyDown={keyed}
            onKeyUp={() => setCaret(field.current!.selectionStart)}
            onClick={() => (setCaret(field.current!.selectionStart), setClosed(false))}
            onBlur={() => (setClosed(true), setCaret(null))}
          />
        </div>
        {draft && (
          <button type="button" class="button quiet small square" aria-label="Clear the query" onClick={() => (setDraft(""), run(""), field.current?.focus())}>
            <Icon name="close" />
          </button>
        )}
        {!draft && !narrow.value && <kbd title="Press / to edit the query">/</kbd>}
        <RunButton changed={draft.trim() !== query.value} />
        {complete && items.length > 0 && <Completions completion={complete} active={active} accept={(at) => accept(complete, at)} />}
      </div>
      {told.length > 0 && (
        <ul id="query-errors" class="query-errors" aria-live="polite">
          {told.slice(0, 3).map((error) => (
            <li key={error.start}>
              <Icon name="warning" />
              <span>
                {draft.slice(error.start, error.end) && <code>{draft.slice(error.start, error.end).slice(0, 60)}</code>} <Text text={error.message} />
              </span>
            </li>
          ))}
          <li class="muted">
            {told.length > 3 && `and ${counted(told.length - 3, "more problem")}; `}what is not marked counts nevertheless
          </li>
        </ul>
      )}
    </form>
  );
}

/** Ask the server what it understands of the draft, a moment after the last key. */
export function useParsed(draft: string, caret: number | null, set: (parsed: Parsed & { text: string }) => void): void {
  useEffect(() => {
    if (!draft && caret === null) {
      set({ canonical: "", errors: [], complete: null, text: "" });
      return undefined;
    }
    const abort = new AbortController();
    const timer = setTimeout(() => {
      askApi<Parsed>("parse", { ...scope.value, q: draft, at: caret ?? "" }, abort.signal)
        .then(({ answer, errors }) => set({ ...answer, errors: answer.errors ?? errors, text: draft }))
        .catch(() => undefined); // completion helps; the question itself will say what is wrong
    }, caret === null ? 0 : 120);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [draft, caret]);
}

/** The same text below the field, with marks under what is wrong. */
function Mirror({ text, errors }: { text: string; errors: readonly QueryError[] }) {
  const parts = [];
  let at = 0;
  for (const { start, end, message } of [...errors].sort((a, b) => a.start - b.start)) {
    if (start < at) continue;
    const stop = Math.max(end, start + 1);
    parts.push(text.slice(at, start), <mark title={message}>{text.slice(start, stop) || " "}</mark>);
    at = stop;
  }
  parts.push(text.slice(at));
  return (
    <div class="query-mirror" aria-hidden="true">
      {parts}
    </div>
  );
}

export function Completions(props: { completion: Completion; active: number; accept: (at: number) => void }) {
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [props.active]);
  return (
    <ul ref={list} id="completions" class="completions" role="listbox" aria-label="Completions">
      {props.completion.items.map(({ text, detail, events }, at) => (
        <li
          key={text}
          id={`completion-${at}`}
          role="option"
          aria-selected={at === props.active}
          onMouseDown={(event) => (event.preventDefault(), props.accept(at))}
        >
          <Text text={text} limit={80} />
          <span class="muted">{events === undefined || events === null ? detail : counted(events, "event")}</span>
        </li>
      ))}
      <li class="completions-hint" role="presentation">
        <kbd>Tab</kbd> takes the first, <kbd>Enter</kbd> asks
      </li>
    </ul>
  );
}

/** Ask; or, when an answer takes long, cancel. */
export function RunButton({ changed }: { changed: boolean }) {
  const [slow, setSlow] = useState(false);
  const waiting = busy.value > 0;
  useEffect(() => {
    if (!waiting) return setSlow(false);
    const timer = setTimeout(() => setSlow(true), 700);
    return () => clearTimeout(timer);
  }, [waiting]);
  if (slow)
    return (
      <button type="button" class="button small danger" onClick={cancelAll}>
        <span class="spinner" /> Cancel
      </button>
    );
  return (
    <button type="submit" class={`button small ${changed ? "primary" : "quiet"}`}>
      Search
    </button>
  );
}
