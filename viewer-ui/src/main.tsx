import { render } from "preact";
import "./app.css";
import "./events.css";
import "./pages.css";
import { loadConfig } from "./config";
import { Shell } from "./shell/Shell";

void loadConfig();
render(<Shell />, document.getElementById("app")!);
