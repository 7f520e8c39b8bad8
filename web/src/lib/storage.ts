// SPDX-License-Identifier: Apache-2.0
/* What one browser remembers: a signal whose value survives a reload. Works, forgetful, without storage. */
import { effect, signal, type Signal } from "@preact/signals";

function read<T>(key: string, initial: T): T {
	try {
		const text = localStorage.getItem(key);
		if (text === null) return initial;
		const value = JSON.parse(text) as T;
		return typeof value === typeof initial && Array.isArray(value) === Array.isArray(initial) ? value : initial;
	} catch {
		return initial;
	}
}

export function remembered<T>(name: string, initial: T): Signal<T> {
	const key = `banger.${name}`;
	const value = signal(read(key, initial));
	effect(() => {
		const text = JSON.stringify(value.value);
		try {
			localStorage.setItem(key, text);
		} catch {
			/* private mode or full: the session keeps it */
		}
	});
	return value;
}
