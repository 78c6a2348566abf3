// SPDX-License-Identifier: MIT
// What the server calls: evaluated once in every isolate by `--js build/server.js`.
// The edge build of react-dom/server wants no MessageChannel, which would keep a handle open.
import { renderToString } from "react-dom/server.edge";
import { Page } from "./page.jsx";

// Names this isolate: each one evaluates this file once, so each one draws its own name.
const isolate = Array.from(crypto.getRandomValues(new Uint8Array(3)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");
let renders = 0;

/** The page as HTML. `props` is plain data from Python; the browser gets the same for hydration. */
globalThis.render = (props) => renderToString(<Page {...props} />);

/** Which isolate this is, and how many pages it was asked for, this one included. */
globalThis.whoami = () => ({ isolate, renders: ++renders });
