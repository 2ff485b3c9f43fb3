// The query as text: reads and changes its terms where they stand, and leaves everything else as it was typed.
//
// The server alone knows the language; what is needed here is where a term begins and ends.

export interface Term {
  start: number;
  end: number;
  /** The field's name as typed, lower-cased; null for free text and for what is in parentheses. */
  field: string | null;
  negated: boolean;
  /** What stands behind the colon, as typed. */
  value: string;
}

/** The terms at the top of a query, and whether an OR joins any of them. */
export function terms(query: string): { terms: Term[]; alternatives: boolean } {
  const found: Term[] = [];
  let alternatives = false;
  let not: number | null = null;
  let at = 0;
  while (at < query.length) {
    if (/\s/.test(query[at]!)) {
      at++;
      continue;
    }
    const start = at;
    const end = endOf(query, at);
    const word = query.slice(start, end);
    if (word === "OR") alternatives = true;
    else if (word === "NOT") not ??= start;
    else if (word !== "AND") {
      found.push(term(query, start, end, not));
      not = null;
    }
    at = end;
  }
  return { terms: found, alternatives };
}

function endOf(query: string, at: number): number {
  let depth = 0;
  while (at < query.length) {
    const character = query[at]!;
    if (character === "\\") at++;
    else if (character === '"') {
      at++;
      while (at < query.length && query[at] !== '"') at += query[at] === "\\" ? 2 : 1;
    } else if (character === "(") depth++;
    else if (character === ")") depth = Math.max(0, depth - 1);
    else if (/\s/.test(character) && depth === 0) return at;
    at++;
  }
  return query.length;
}

/** `not`: where the NOT before it begins. */
function term(query: string, start: number, end: number, not: number | null): Term {
  const minus = query[start] === "-" && end > start + 1;
  const word = query.slice(start + (minus ? 1 : 0), end);
  const match = /^((?:[^\s:"(),\\.]+|"(?:[^"\\]|\\.)*")(?:\.(?:[^\s:"(),\\.]+|"(?:[^"\\]|\\.)*"))*):(?!\/\/)/.exec(word);
  return { start: not ?? start, end, negated: minus !== (not !== null), field: match ? match[1]!.toLowerCase() : null, value: match ? word.slice(match[0].length) : word };
}

/** The values of "a,b", "(a OR b)" or "a". Shapes and ranges are left as they are. */
export function valuesOf(value: string): string[] {
  const inner = /^\((.*)\)$/s.exec(value)?.[1] ?? value;
  const found: string[] = [];
  let current = "";
  const push = (): void => {
    const trimmed = current.trim();
    if (trimmed && trimmed !== "OR") found.push(unquoted(trimmed));
    current = "";
  };
  for (let at = 0; at < inner.length; ) {
    const character = inner[at]!;
    if (character === '"') {
      const end = endOf(inner, at);
      const close = closing(inner, at);
      current += inner.slice(at, Math.min(end, close + 1));
      at = Math.min(end, close + 1);
    } else if (character === "\\") {
      current += inner.slice(at, at + 2);
      at += 2;
    } else if (character === "," || /\s/.test(character)) {
      push();
      at++;
    } else {
      current += character;
      at++;
    }
  }
  push();
  return found;
}

function closing(text: string, at: number): number {
  at++;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

function unquoted(value: string): string {
  return value.startsWith('"') ? value.slice(1, value.endsWith('"') ? -1 : undefined).replace(/\\(["\\])/g, "$1") : value.replace(/\\([^A-Za-z0-9])/g, "$1");
}

/** A value as it stands in a query: in quotes where it has anything that means something. */
export function quoted(value: string): string {
  const plain = /^[A-Za-z0-9_/@+%=~#&;!$'.:-]+$/.test(value) && !value.includes("..") && !/^(-|OR$|AND$|NOT$)/.test(value);
  return plain ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
}

/** The name of a path as a query has it: keys with punctuation in quotes. */
export function fieldName(path: readonly string[]): string {
  return path.map((key) => (/^[^\s:.",()\\]+$/.test(key) ? key : `"${key.replace(/["\\]/g, "\\$&")}"`)).join(".");
}

/** `field:value`, or for no value that the field is absent. */
export function clause(field: string, value: string | null, negated = false): string {
  if (value === null) return negated ? `${field}:*` : `-${field}:*`;
  return `${negated ? "-" : ""}${field}:${quoted(value)}`;
}

/** The query with one more clause, which narrows all of it. */
export function and(query: string, added: string): string {
  const trimmed = query.trim();
  if (!trimmed) return added;
  const { terms: all, alternatives } = terms(trimmed);
  if (all.some((known) => trimmed.slice(known.start, known.end) === added) && !alternatives) return trimmed;
  return alternatives ? `(${trimmed}) ${added}` : `${trimmed} ${added}`;
}

function without(query: string, gone: readonly Term[]): string {
  const kept: string[] = [];
  let at = 0;
  for (const { start, end } of gone) {
    kept.push(query.slice(at, start).trim());
    at = end;
  }
  kept.push(query.slice(at).trim());
  return kept.filter(Boolean).join(" ");
}

/** Which values of a field the query asks for, and whether it asks for its absence; nothing where an OR joins terms. */
export function chosen(query: string, names: readonly string[]): { values: string[]; excluded: string[]; absent: boolean } {
  const { terms: all, alternatives } = terms(query);
  const result = { values: [] as string[], excluded: [] as string[], absent: false };
  if (alternatives) return result;
  for (const { field, negated, value } of all) {
    if (field === null || !names.includes(field)) continue;
    if (value === "*") result.absent ||= negated;
    else result[negated ? "excluded" : "values"].push(...valuesOf(value));
  }
  return result;
}

/** The query that asks for these values of a field, one or the other, in place of what it asks of the field now. */
export function choose(query: string, names: readonly string[], values: readonly (string | null)[]): string {
  const { terms: all, alternatives } = terms(query);
  const kept = alternatives ? query : without(query, all.filter(({ field }) => field !== null && names.includes(field)));
  const name = names[0]!;
  if (values.length === 0) return kept;
  if (values[0] === null || values.length === 1) return and(kept, clause(name, values[0] ?? null));
  return and(kept, `${name}:${(values as string[]).map(quoted).join(",")}`);
}
