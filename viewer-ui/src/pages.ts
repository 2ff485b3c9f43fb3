// The pages, by their name in the address (`?page=events`).
import type { ComponentType } from "preact";
import { ConversionPage } from "./pages/conversion/ConversionPage";
import { EventsPage } from "./pages/events/EventsPage";
import { FunnelPage } from "./pages/funnel/FunnelPage";
import { ClientPage, SessionPage, UserPage } from "./pages/life/pages";
import { OverviewPage } from "./pages/overview/OverviewPage";
import { PathsPage } from "./pages/paths/PathsPage";
import { RetentionPage } from "./pages/retention/RetentionPage";
import { TracePage } from "./pages/trace/TracePage";

export interface PageInfo {
  name: string;
  title: string;
  component: ComponentType;
  /** Whether the header leads to it; pages about one user or trace are reached from values. */
  inNavigation: boolean;
  /** false: the page has no use for the range picker. */
  ranged?: boolean;
}

export const PAGES: readonly PageInfo[] = [
  { name: "events", title: "Events", component: EventsPage, inNavigation: true },
  { name: "overview", title: "Overview", component: OverviewPage, inNavigation: true },
  { name: "funnel", title: "Funnel", component: FunnelPage, inNavigation: true },
  { name: "conversion", title: "Conversion", component: ConversionPage, inNavigation: true },
  { name: "retention", title: "Retention", component: RetentionPage, inNavigation: true },
  { name: "paths", title: "Paths", component: PathsPage, inNavigation: true },
  { name: "user", title: "User", component: UserPage, inNavigation: false, ranged: false },
  { name: "session", title: "Session", component: SessionPage, inNavigation: false, ranged: false },
  { name: "client", title: "Client", component: ClientPage, inNavigation: false, ranged: false },
  { name: "trace", title: "Trace", component: TracePage, inNavigation: false, ranged: false },
];
