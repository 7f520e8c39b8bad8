// SPDX-License-Identifier: Apache-2.0
/* Short notices at the lower edge. Errors stay until they are closed. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Icon } from "./icon";
import { Shape, type Tone } from "./state";

interface Notice {
	tone: Tone;
	title: string;
	body?: ComponentChildren;
	link?: { label: string; href: string };
}

const SHOWN_MS = 4000;
const MAX = 4;
let next = 1;
const notices = signal<(Notice & { id: number })[]>([]);

function close(id: number): void {
	notices.value = notices.value.filter((n) => n.id !== id);
}

export function toast(notice: Notice): void {
	const id = next++;
	notices.value = [...notices.value.filter((n) => n.title !== notice.title), { ...notice, id }].slice(-MAX);
	if (notice.tone !== "bad") window.setTimeout(() => close(id), SHOWN_MS);
}

const SHAPE = { ok: "check", warn: "triangle", bad: "diamond", info: "ring", calm: "ring", off: "ring" } as const;

export function Toasts() {
	return (
		<div class="toasts" role="status" aria-live="polite">
			{notices.value.map((n) => (
				<div class="toast" key={n.id}>
					<Shape shape={SHAPE[n.tone]} tone={n.tone} />
					<div class="grow">
						<strong>{n.title}</strong>
						{n.body && <div class="soft">{n.body}</div>}
						{n.link && <a href={n.link.href}>{n.link.label}</a>}
					</div>
					<button type="button" class="button quiet bare" aria-label="Close notice" onClick={() => close(n.id)}>
						<Icon name="close" />
					</button>
				</div>
			))}
		</div>
	);
}
