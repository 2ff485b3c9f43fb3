// Says that an answer takes long, and lets one do without.
import { useEffect, useState } from "preact/hooks";
import { busy, cancelAll } from "../../api";

export function Working() {
  const [slow, setSlow] = useState(false);
  const waiting = busy.value > 0;
  useEffect(() => {
    const timer = setTimeout(() => setSlow(waiting), waiting ? 700 : 0);
    return () => clearTimeout(timer);
  }, [waiting]);
  return slow && waiting ? (
    <button type="button" class="button small danger" onClick={cancelAll}>
      <span class="spinner" /> Cancel
    </button>
  ) : null;
}
