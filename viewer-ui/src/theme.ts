// Dark or light: the system's, or what was chosen.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

function stored(): Theme {
  try {
    const found = localStorage.getItem("auditmw.theme");
    return found === "light" || found === "dark" ? found : "system";
  } catch {
    return "system";
  }
}

export const theme = signal<Theme>(stored());

effect(() => {
  document.documentElement.dataset["theme"] = theme.value;
  try {
    localStorage.setItem("auditmw.theme", theme.value);
  } catch {
    // For this visit only.
  }
});
