// SPDX-License-Identifier: Apache-2.0
/* One clock for all "5 s ago" on a page: it ticks once a second, and not at all while hidden. */
import { signal } from "@preact/signals";
import { remembered } from "../lib/storage";

export const now = signal(Date.now());
export const utc = remembered("utc", false);

setInterval(() => {
	if (!document.hidden) now.value = Date.now();
}, 1000);
addEventListener("visibilitychange", () => {
	now.value = Date.now();
});
