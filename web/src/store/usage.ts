// SPDX-License-Identifier: Apache-2.0
/* What VMs use now: asked for every few seconds while a page shows it, once for all of them. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { call } from "../api/client";
import { can } from "../api/capabilities";
import type { Usage } from "../api/types";

const AGAIN_MS = 5000;

export const usage = signal<ReadonlyMap<string, Usage>>(new Map());

let users = 0;
let timer = 0;

async function read(): Promise<void> {
	timer = 0;
	if (!document.hidden && can("stats_list")) {
		try {
			const { items } = await call("get", "/stats");
			usage.value = new Map(items.map((item) => [item.vm, item]));
		} catch {
			/* the stream says when the server is away; the last figures stay till then */
		}
	}
	if (users > 0 && !timer) timer = window.setTimeout(() => void read(), AGAIN_MS);
}

/** Keeps the figures fresh while the component is shown. */
export function useUsage(): void {
	useEffect(() => {
		if (++users === 1) void read();
		return () => {
			if (--users === 0) {
				window.clearTimeout(timer);
				timer = 0;
			}
		};
	}, []);
}
