// SPDX-License-Identifier: Apache-2.0
import { render } from "preact";
import { App } from "./shell/app";
import { startLive } from "./store/live";
import "./style/tokens.css";
import "./style/base.css";
import "./style/controls.css";
import "./style/data.css";
import "./style/shell.css";

const root = document.getElementById("app");
if (root) startLive(() => render(<App />, root));
