// The pages about a user, a session, and a client.
import { LifePage } from "./LifePage";

export const UserPage = () => (
  <LifePage kind={{ of: "user", field: "user", title: "User", order: "newest", facets: ["name", "event", "path", "ip", "agent", "service"] }} />
);
export const SessionPage = () => (
  <LifePage kind={{ of: "session", field: "session", title: "Session", order: "oldest", facets: ["user", "ip", "agent", "event"] }} />
);
export const ClientPage = () => (
  <LifePage kind={{ of: "client", field: "ip", title: "Client", order: "newest", facets: ["user", "status", "agent", "path"] }} />
);
