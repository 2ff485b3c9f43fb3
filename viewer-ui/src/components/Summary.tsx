// What an event says in one line: the request, or what the application calls it.
import { valueOf } from "../config";
import type { AuditEvent, Json } from "../types";
import { Text } from "./Text";
import { Value } from "./Value";

export function Summary({ event, inert = false }: { event: AuditEvent; inert?: boolean }) {
  const part = (name: string): Json | undefined => valueOf(event, name);
  const value = (name: string, limit = 160) => {
    const found = part(name);
    return found === undefined || found === null ? null : <Value field={name} value={found} limit={limit} inert={inert} focusable={false} />;
  };
  const message = part("message");
  const request = part("event") === "http_request";
  return (
    <span class="summary">
      {request ? (
        <>
          <span class="summary-method">{value("method")}</span> <span class="summary-path">{value("path")}</span>
        </>
      ) : (
        <>
          <span class="summary-event">{value("event")}</span> {value("target_type")} {value("target_name") ?? value("target")}
        </>
      )}
      {part("error") !== undefined && <span class="summary-error">{value("error")}</span>}
      {typeof message === "string" && (
        <span class="summary-message">
          <Text text={message} limit={200} />
        </span>
      )}
    </span>
  );
}
