// SPDX-License-Identifier: Apache-2.0
/*
 * The search box: free words and `key:value` chips.
 *
 *     state:running,paused label:ci=nightly -image:debian web "two words"
 *
 * All terms must hold; values separated by commas are alternatives; a leading "-" turns a term
 * around; `*` in a value stands for anything. Parsing never fails: what is no chip is a word.
 */

export interface Term {
	/** "" for a free word. */
	key: string;
	values: string[];
	not: boolean;
	/** As written, to be able to take it out again. */
	text: string;
}

export type Fields<T> = Record<string, (item: T) => string | string[] | undefined>;

const TERM = /(-?)(?:([a-z][a-z_-]*):)?(?:"([^"]*)"?|(\S+))/gi;
export const QUERY_MAX = 512;

export function parse(query: string): Term[] {
	const terms: Term[] = [];
	for (const match of query.slice(0, QUERY_MAX).matchAll(TERM)) {
		const [text, minus, key = "", quoted, plain = ""] = match;
		const value = quoted ?? plain;
		if (!value) continue;
		const values = quoted !== undefined || !key ? [value] : value.split(",").filter(Boolean);
		if (values.length === 0) continue;
		terms.push({
			key: key.toLowerCase(),
			values: values.map((v) => v.toLowerCase()),
			not: minus === "-",
			text: text.trim(),
		});
	}
	return terms;
}

function fits(value: string, pattern: string): boolean {
	if (!pattern.includes("*")) return value.includes(pattern);
	let at = 0;
	const parts = pattern.split("*");
	for (const [i, part] of parts.entries()) {
		const found = i === 0 ? (value.startsWith(part) ? 0 : -1) : value.indexOf(part, at);
		if (found < 0) return false;
		at = found + part.length;
	}
	return parts[parts.length - 1] === "" || value.endsWith(parts[parts.length - 1] ?? "");
}

/** A predicate for `terms`. Words look into the fields named in `words`; an unknown key finds nothing. */
export function matcher<T>(terms: Term[], fields: Fields<T>, words: string[]): (item: T) => boolean {
	const values = (item: T, key: string): string[] => {
		const value = fields[key]?.(item);
		return (Array.isArray(value) ? value : value === undefined ? [] : [value]).map((v) => v.toLowerCase());
	};
	return (item) =>
		terms.every((term) => {
			const candidates = term.key ? values(item, term.key) : words.flatMap((key) => values(item, key));
			const hit = term.values.some((wanted) => candidates.some((have) => fits(have, wanted)));
			return hit !== term.not;
		});
}

/** Adds `key:value` to a query or, if it is there, takes it out. */
export function toggleTerm(query: string, key: string, value: string): string {
	const want = value.toLowerCase();
	const terms = parse(query);
	const same = terms.find((t) => t.key === key && !t.not && t.values.length === 1 && t.values[0] === want);
	const written = `${key}:${/\s/.test(value) ? `"${value}"` : value}`;
	if (same) return terms.filter((t) => t !== same).map((t) => t.text).join(" ");
	return [...terms.map((t) => t.text), written].join(" ");
}

export function hasTerm(query: string, key: string, value: string): boolean {
	return parse(query).some((t) => t.key === key && !t.not && t.values.includes(value.toLowerCase()));
}
