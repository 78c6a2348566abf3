// SPDX-License-Identifier: MIT
// Bundles the page twice: build/server.js for V8 in the workers, build/client.js for the browser.
import { build } from "esbuild";

const common = {
  bundle: true,
  jsx: "automatic",
  format: "iife",
  charset: "utf8",
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "info",
};

await build({
  ...common,
  entryPoints: ["src/server.jsx"],
  outfile: "build/server.js",
  platform: "neutral", // neither a browser nor Node.js: a realm with Web APIs
  mainFields: ["module", "main"],
  target: "es2022",
  minifySyntax: true, // drops React's development half, keeps readable stack traces
});

await build({
  ...common,
  entryPoints: ["src/client.jsx"],
  outfile: "build/client.js",
  platform: "browser",
  target: "es2020",
  minify: true,
});
