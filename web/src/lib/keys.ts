// SPDX-License-Identifier: Apache-2.0
/*
 * Keyboard shortcuts. A page registers its keys while it is shown; the help dialog lists what is
 * registered. Single letters never fire while somebody types into a field.
 */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

export interface Key {
	/** "j", "?", "Escape", "mod+k", or two keys in a row: "g v". */
	keys: string;
	label: string;
	group: string;
	run: (event: KeyboardEvent) => void;
	/** Also while a text field has the focus. */
	always?: boolean;
}

const registered = signal<Key[]>([]);
export const allKeys = registered;

const SEQUENCE_MS = 900;
let prefix = "";
let prefixTimer = 0;

function typing(target: EventTarget | null): boolean {
	if (!(target instanceof HTMLElement)) return false;
	return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)
		? !(target instanceof HTMLInputElement && /^(checkbox|radio|button)$/.test(target.type))
		: target.closest(".xterm") !== null;
}

function nameOf(event: KeyboardEvent): string {
	const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
	const shifted = event.shiftKey && event.key.length > 1 ? "shift+" : "";
	return `${event.ctrlKey || event.metaKey ? "mod+" : ""}${event.altKey ? "alt+" : ""}${shifted}${key}`;
}

addEventListener("keydown", (event) => {
	if (event.defaultPrevented || event.isComposing) return;
	const name = nameOf(event);
	const busy = typing(event.target);
	const modal = document.querySelector("dialog[open]") !== null;
	const sequence = prefix ? `${prefix} ${name}` : "";
	const list = [...registered.peek()].reverse();
	const usable = (key: Key): boolean => (key.always || !busy) && (key.always || !modal);
	const found =
		(sequence && list.find((k) => k.keys === sequence && usable(k))) || list.find((k) => k.keys === name && usable(k));
	window.clearTimeout(prefixTimer);
	prefix = "";
	if (found) {
		event.preventDefault();
		found.run(event);
	} else if (!busy && list.some((k) => k.keys.startsWith(`${name} `))) {
		prefix = name;
		prefixTimer = window.setTimeout(() => (prefix = ""), SEQUENCE_MS);
	}
});

export function addKeys(keys: Key[]): () => void {
	registered.value = [...registered.peek(), ...keys];
	return () => {
		registered.value = registered.peek().filter((key) => !keys.includes(key));
	};
}

/** Registers keys while the component is shown. The callbacks are always the latest ones. */
export function useKeys(keys: Key[]): void {
	const latest = useLatest(keys);
	useEffect(
		() =>
			addKeys(
				latest.current.map((key, i) => ({ ...key, run: (event) => latest.current[i]?.run(event) })),
			),
		[keys.length],
	);
}

export function useLatest<T>(value: T): { current: T } {
	const ref = useRef(value);
	ref.current = value;
	return ref;
}

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const GLYPHS: Record<string, string> = {
	mod: MAC ? "⌘" : "Ctrl",
	shift: "Shift",
	alt: MAC ? "⌥" : "Alt",
	Enter: "Enter",
	Escape: "Esc",
	ArrowDown: "↓",
	ArrowUp: "↑",
};

/** The caps to draw for "mod+k" or "g v". */
export function caps(keys: string): string[] {
	return keys
		.split(" ")
		.flatMap((part) => (part === "+" ? ["+"] : part.split("+")))
		.map((part) => GLYPHS[part] ?? (part.length === 1 ? part.toUpperCase() : part));
}
