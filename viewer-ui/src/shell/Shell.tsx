// What surrounds every page: where one can go, the range, the zone, the theme, the keys, and what is said once.
import { useErrorBoundary, useState } from "preact/hooks";
import { config, configError, loadConfig } from "../config";
import { page, pageHref } from "../location";
import { PAGES } from "../pages";
import { theme, type Theme } from "../theme";
import { LOCAL_ZONE, setZone, zone } from "../time";
import { Empty, Skeleton } from "../components/State";
import { Dialog } from "./Dialog";
import { Icon, type IconName } from "./Icon";
import { keys, useKeys } from "./keys";
import { MenuButton, MenuLayer } from "./Menu";
import { notice } from "./notice";
import { RangePicker } from "./RangePicker";

export function Shell() {
  const [help, setHelp] = useState(false);
  useKeys([{ key: "?", told: "Show this help", run: () => setHelp(true) }]);
  const shown = PAGES.find(({ name }) => name === page.value);
  document.title = `${shown?.title ?? "Not found"} · auditmw`;
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href={pageHref("events")} aria-label="auditmw: events">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="8" />
            <path d="M8 10h16M8 16h11M8 22h7" />
            <circle cx="23" cy="21" r="3.5" />
          </svg>
          <span>auditmw</span>
        </a>
        <Navigation />
        <div class="bar-tools">
          {shown?.ranged !== false && <RangePicker />}
          <ZoneSwitch />
          <ThemeSwitch />
          <button type="button" class="button quiet square" aria-label="Keys and help" title="Keys and help (?)" onClick={() => setHelp(true)}>
            <Icon name="help" />
          </button>
          {config.value?.viewer.name && (
            <span class="viewer" title={config.value.viewer.restricted ? "You see a part of the events" : "Signed in"}>
              <Icon name="user" />
              <bdi>{config.value.viewer.name}</bdi>
              {config.value.viewer.restricted && <em>restricted</em>}
            </span>
          )}
        </div>
      </header>
      <main id="main" tabIndex={-1} class={`page page-${page.value.replace(/\W/g, "")}`}>
        <Content />
      </main>
      <MenuLayer />
      {help && <Help onClose={() => setHelp(false)} />}
      <div class="notice" role="status" aria-live="polite">
        {notice.value && <span>{notice.value}</span>}
      </div>
    </>
  );
}

function Content() {
  const [failed, reset] = useErrorBoundary();
  if (configError.value) {
    const { status, message } = configError.value;
    return (
      <Empty icon="warning" title={status === 401 ? "Sign in to see the events" : "The viewer could not start"}>
        <p>{message}</p>
        <button type="button" class="button primary" onClick={() => void loadConfig()}>
          Try again
        </button>
      </Empty>
    );
  }
  if (!config.value) return <Skeleton lines={12} />;
  if (failed) {
    return (
      <Empty icon="warning" title="This page failed">
        <p>{String((failed as Error).message ?? failed)}</p>
        <button type="button" class="button primary" onClick={reset}>
          Try again
        </button>
      </Empty>
    );
  }
  const Found = PAGES.find(({ name }) => name === page.value)?.component;
  if (Found) return <Found />;
  return (
    <Empty title="There is no such page">
      <a class="button primary" href={pageHref("events")}>
        Go to the events
      </a>
    </Empty>
  );
}

function Navigation() {
  const shown = PAGES.filter(({ inNavigation }) => inNavigation);
  return (
    <nav class="tabs" aria-label="Pages">
      {shown.map(({ name, title }) => (
        <a key={name} href={pageHref(name)} aria-current={page.value === name ? "page" : undefined}>
          {title}
        </a>
      ))}
    </nav>
  );
}

function ZoneSwitch() {
  const zones = [...new Set(["UTC", LOCAL_ZONE, zone.value])];
  return (
    <div class="segmented" role="group" aria-label="Time zone">
      {zones.map((name) => (
        <button key={name} type="button" aria-pressed={zone.value === name} title={`Show all times in ${name}`} onClick={() => setZone(name)}>
          {name === "UTC" ? "UTC" : name === LOCAL_ZONE ? "Local" : (name.split("/").at(-1) ?? name).replace(/_/g, " ")}
        </button>
      ))}
    </div>
  );
}

const THEMES: [Theme, string, IconName][] = [
  ["system", "As the system", "system"],
  ["light", "Light", "sun"],
  ["dark", "Dark", "moon"],
];

function ThemeSwitch() {
  const icon = THEMES.find(([name]) => name === theme.value)![2];
  const items = () =>
    THEMES.map(([name, label]) => ({ label, checked: theme.value === name, run: () => void (theme.value = name) }));
  return (
    <MenuButton label="Theme" class="button quiet square" items={items}>
      <Icon name={icon} />
    </MenuButton>
  );
}

function Help({ onClose }: { onClose: () => void }) {
  const names: Record<string, string> = { Escape: "Esc", ArrowLeft: "←", ArrowRight: "→" };
  return (
    <Dialog title="Keys and queries" onClose={onClose} wide>
      <div class="help">
        <section>
          <h3>Keys</h3>
          <dl>
            {[...keys(), { key: "Alt+←/→", told: "Move the column that has the focus" }].sort((a, b) => Number(a.key === "?") - Number(b.key === "?")).map(({ key, told }) => (
              <div key={key}>
                <dt>
                  <kbd>{names[key] ?? key}</kbd>
                </dt>
                <dd>{told}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h3>Queries</h3>
          <dl>
            {EXAMPLES.map(([query, told]) => (
              <div key={query}>
                <dt>
                  <code>{query}</code>
                </dt>
                <dd>{told}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
      <p class="hint">auditmw {config.value?.version}</p>
    </Dialog>
  );
}

const EXAMPLES: [string, string][] = [
  ["user:alice status:402", "both; AND may be left out"],
  ["user:alice OR user:bob", "one of them; the same as user:alice,bob"],
  ["-path:/health", "not that; also NOT path:/health"],
  ['declined "was declined"', "this text in any value"],
  ["path:/api/*", "a shape: * any text, ? any character"],
  ["status:5xx dur:>250ms size:<10kB", "a class, more and less, with units"],
  ["status:200..299", "from and to, both included"],
  ["session:* -session:*", "has a session; has none"],
  ["ip:10.0.0.0/8", "a network"],
  ["data.order.id:17", "what the application added"],
];
