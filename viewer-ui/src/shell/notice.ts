// What is said once and goes away by itself, also to those who do not see the page.
import { signal } from "@preact/signals";

export const notice = signal("");
let timer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string): void {
  clearTimeout(timer);
  notice.value = text;
  timer = setTimeout(() => (notice.value = ""), 4000);
}

/** Copy a text, and say so. */
export async function copy(text: string, what = "Copied"): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context there is no clipboard API; a selected field can be copied everywhere.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "offscreen";
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (!done) return say("The browser does not let this page copy");
  }
  say(what);
}
