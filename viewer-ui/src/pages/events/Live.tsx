// What the live tail does, and what waits because somebody reads.
import { useEffect, useRef, useState } from "preact/hooks";
import { counted } from "../../numbers";
import { Icon } from "../../shell/Icon";
import type { Tail } from "./tail";

const SAY_EVERY_MS = 10_000;

export function LiveBar({ tail, release, arrived }: { tail: Tail; release: () => void; arrived: number }) {
  const waiting = tail.waiting.value.length;
  const held = tail.held.value;
  return (
    <div class={`live-bar ${held ? "held" : ""}`}>
      {held ? (
        <>
          <span class="live-state">
            <Icon name="pause" /> Paused while you read
          </span>
          <button type="button" class="button small primary" onClick={release}>
            {waiting ? `${counted(waiting, "new event")}` : "Resume"}
            <Icon name="up" />
          </button>
        </>
      ) : (
        <button type="button" class="button quiet small" aria-label="Pause" title="Pause" onClick={() => (tail.held.value = true)}>
          <Icon name="pause" /> <span class="wide-only">Pause</span>
        </button>
      )}
      <Announcement arrived={arrived} />
    </div>
  );
}

export function LiveNote({ tail }: { tail: Tail }) {
  return (
    <>
      {tail.trouble.value && (
        <p class="note warning" role="status">
          <Icon name="warning" />
          <span>{tail.trouble.value}</span>
        </p>
      )}
      {(tail.dropped.value > 0 || tail.skipped.value) && (
        <p class="note warning">
          <Icon name="warning" />
          <span>
            {tail.skipped.value ? `At least ${counted(tail.dropped.value, "event")}` : counted(tail.dropped.value, "event")} came faster than this page
            shows them. A search finds them.
          </span>
        </p>
      )}
    </>
  );
}

/** Says how many events came, politely and not more often than every ten seconds. */
function Announcement({ arrived }: { arrived: number }) {
  const [told, setTold] = useState("");
  const latest = useRef(arrived);
  latest.current = arrived;
  useEffect(() => {
    let said = latest.current;
    const timer = setInterval(() => {
      const fresh = latest.current - said;
      said = latest.current;
      setTold(fresh ? counted(fresh, "new event") : "");
    }, SAY_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <span class="offscreen" aria-live="polite">
      {told}
    </span>
  );
}
