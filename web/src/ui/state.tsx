// SPDX-License-Identifier: Apache-2.0
/* A state is told three times: by a word, by a colour and by a shape. */
export type Tone = "ok" | "warn" | "bad" | "info" | "calm" | "off";
export type Shape = "disc" | "ring" | "square" | "bars" | "moon" | "diamond" | "spin" | "check" | "cross" | "triangle";

export interface StateLook {
	word: string;
	tone: Tone;
	shape: Shape;
	/** On its way to somewhere: the elapsed time matters. */
	moving?: boolean;
}

const LOOKS: Record<string, Omit<StateLook, "word">> = {
	running: { tone: "ok", shape: "disc" },
	stopped: { tone: "off", shape: "square" },
	created: { tone: "off", shape: "ring" },
	paused: { tone: "calm", shape: "bars" },
	suspended: { tone: "calm", shape: "moon" },
	failed: { tone: "bad", shape: "diamond" },
	error: { tone: "bad", shape: "diamond" },
	crashed: { tone: "bad", shape: "diamond" },
	unknown: { tone: "warn", shape: "triangle" },
	succeeded: { tone: "ok", shape: "check" },
	cancelled: { tone: "off", shape: "cross" },
	queued: { tone: "off", shape: "ring" },
	ready: { tone: "ok", shape: "check" },
	pass: { tone: "ok", shape: "check" },
	warn: { tone: "warn", shape: "triangle" },
	fail: { tone: "bad", shape: "diamond" },
	skip: { tone: "off", shape: "ring" },
	info: { tone: "info", shape: "ring" },
};

export function lookOf(state: string): StateLook {
	const word = state.replace(/_/g, " ");
	const look = LOOKS[state.toLowerCase()];
	if (look) return { word, ...look };
	return /ing$/.test(state)
		? { word, tone: "info", shape: "spin", moving: true }
		: { word, tone: "off", shape: "ring" };
}

/** An operation that runs is on its way; a VM that runs has arrived. */
export function opLook(state: string): StateLook {
	return state === "running" ? { word: state, tone: "info", shape: "spin", moving: true } : lookOf(state);
}

/* made anew each time: an element that is shared would keep every tree that it once stood in */
const SHAPES: Record<Shape, () => preact.JSX.Element> = {
	disc: () => <circle cx="6" cy="6" r="4" class="fill" />,
	ring: () => <circle cx="6" cy="6" r="3.6" class="line" />,
	square: () => <rect x="2.5" y="2.5" width="7" height="7" rx="1" class="line" />,
	bars: () => <path d="M4 2.5v7M8 2.5v7" class="line thick" />,
	moon: () => <path d="M9.7 7.3A4.2 4.2 0 0 1 4.7 2.3a4.2 4.2 0 1 0 5 5z" class="fill" />,
	diamond: () => <path d="M6 .8 11.2 6 6 11.2.8 6z" class="fill" />,
	spin: () => <path d="M6 2a4 4 0 1 1-4 4" class="line thick" />,
	check: () => <path d="M2.5 6.3 5 8.8l4.5-5" class="line thick" />,
	cross: () => <path d="M3 3l6 6M9 3 3 9" class="line thick" />,
	triangle: () => <path d="M6 1.2 11.3 10.5H.7z" class="fill" />,
};

export function Shape({ shape, tone }: { shape: Shape; tone: Tone }) {
	return (
		<svg class={`shape tone-${tone}${shape === "spin" ? " turning" : ""}`} width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" focusable="false">
			{SHAPES[shape]()}
		</svg>
	);
}

export function StateBadge({ look, note, pill }: { look: StateLook; note?: string | undefined; pill?: boolean }) {
	return (
		<span class={`state tone-${look.tone}${pill ? " pill" : ""}`}>
			<Shape shape={look.shape} tone={look.tone} />
			<span class="word">{look.word}</span>
			{note && <span class="num note">{note}</span>}
		</span>
	);
}
