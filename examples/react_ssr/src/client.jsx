// SPDX-License-Identifier: MIT
// Takes over the page that the server rendered, with the very same props.
import { hydrateRoot } from "react-dom/client";
import { Page } from "./page.jsx";

const props = JSON.parse(document.getElementById("props").textContent);
hydrateRoot(document.getElementById("root"), <Page {...props} />);
