// Builds src/ into one page: index.html, and script, style and icon by the hash of their content.
//
//   node build.mjs [--out FOLDER]
//
// The same sources give the same bytes, wherever they are built.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = dirname(fileURLToPath(import.meta.url));
const option = process.argv.indexOf("--out");
const out = option > 0 ? resolve(process.argv[option + 1]) : join(here, "../src/auditmw/viewer/static");

const bundle = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: "out",
  bundle: true,
  write: false,
  format: "esm",
  target: ["es2022", "chrome123", "firefox121", "safari17.5"], // the first ones with light-dark()
  minify: true,
  // Elements as calls of h(name, properties, ...children): a hundredth smaller than those of the JSX runtime.
  tsconfigRaw: { compilerOptions: { jsx: "react", jsxFactory: "h", jsxFragmentFactory: "Fragment" } },
  inject: ["src/jsx.ts"],
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
});

function hashed(name, extension, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 10);
  return [`${name}-${hash}.${extension}`, content];
}

const content = (extension) => bundle.outputFiles.find((file) => file.path.endsWith(extension)).contents;
// What a second minifier still finds is a fortieth.
const { code } = await minify(Buffer.from(content(".js")).toString(), { module: true, ecma: 2020, compress: { passes: 3 } });
const script = hashed("app", "js", Buffer.from(code));
const style = hashed("app", "css", content(".css"));
const icon = hashed("icon", "svg", readFileSync(join(here, "src/icon.svg")));
const page = readFileSync(join(here, "src/index.html"), "utf8")
  .replace("app.js", script[0])
  .replace("app.css", style[0])
  .replace("icon.svg", icon[0]);
const files = new Map([["index.html", Buffer.from(page)], script, style, icon]);

mkdirSync(out, { recursive: true });
for (const name of readdirSync(out)) {
  if (!files.has(name)) rmSync(join(out, name), { recursive: true });
}
for (const [name, bytes] of files) writeFileSync(join(out, name), bytes);

let total = 0;
for (const [name, bytes] of files) {
  const size = gzipSync(bytes, { level: 9 }).length;
  total += size;
  console.log(`${name.padEnd(22)} ${String(bytes.length).padStart(7)} bytes ${String(size).padStart(6)} gzipped`);
}
console.log(`together ${total} bytes gzipped`);
