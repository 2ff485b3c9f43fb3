// A query in a form: one line, with completion, and told below what of it is not understood.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Text } from "../../components/Text";
import type { Parsed } from "../../types";
import { Completions, useParsed } from "../events/QueryBar";

export function QueryField(props: {
  label: string;
  value: string;
  /** What it means when it is empty, or an example. */
  placeholder: string;
  /** The query was changed, and is done. */
  run: (query: string) => void;
  /** The label is for those who do not see the page. */
  quiet?: boolean;
}) {
  const { value, run } = props;
  const id = useId();
  const field = useRef<HTMLInputElement>(null);
  const [draft, setDraft] = useState(value);
  const [caret, setCaret] = useState<number | null>(null);
  const [active, setActive] = useState(-1);
  const [parsed, setParsed] = useState<Parsed & { text: string }>({ canonical: "", errors: [], complete: null, text: "" });
  useEffect(() => setDraft(value), [value]);
  useParsed(draft, caret, setParsed);
  const current = parsed.text === draft;
  const errors = current && draft === value ? parsed.errors : [];
  const complete = current && caret !== null ? parsed.complete : null;
  const items = complete?.items ?? [];
  const accept = (at: number): void => {
    const { start, end } = complete!;
    const { text } = items[at]!;
    setDraft(draft.slice(0, start) + text + draft.slice(end));
    setCaret(start + text.length);
    setActive(-1);
    requestAnimationFrame(() => field.current?.setSelectionRange(start + text.length, start + text.length));
  };
  const done = (): void => {
    setCaret(null);
    setActive(-1);
    if (draft.trim() !== value) run(draft.trim());
  };
  const keyed = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && items.length) setActive(((active + step + 1 + items.length + 1) % (items.length + 1)) - 1);
    else if (event.key === "Tab" && items.length && !event.shiftKey) accept(Math.max(0, active));
    else if (event.key === "Enter" && items.length && active >= 0) accept(active);
    else if (event.key === "Enter") done();
    else if (event.key === "Escape" && items.length) setCaret(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="query-input">
      <label for={id} class={props.quiet ? "offscreen" : ""}>
        {props.label}
      </label>
      <input
        id={id}
        ref={field}
        value={draft}
        placeholder={props.placeholder}
        maxLength={4096}
        spellcheck={false}
        autocomplete="off"
        autocapitalize="off"
        aria-autocomplete="list"
        aria-invalid={errors.length > 0}
        aria-describedby={errors.length ? `${id}-errors` : undefined}
        aria-controls={items.length ? "completions" : undefined}
        aria-activedescendant={active >= 0 ? `completion-${active}` : undefined}
        onInput={(event) => {
          setDraft(event.currentTarget.value);
          setCaret(event.currentTarget.selectionStart);
          setActive(-1);
        }}
        onKeyDown={keyed}
        onBlur={done}
      />
      {complete && items.length > 0 && <Completions completion={complete} active={active} accept={accept} />}
      {errors.length > 0 && (
        <p id={`${id}-errors`} class="field-error" role="alert">
          <code>{draft.slice(errors[0]!.start, errors[0]!.end).slice(0, 60)}</code> <Text text={errors[0]!.message} />
        </p>
      )}
    </div>
  );
}
