// SPDX-License-Identifier: Apache-2.0
/* Names that are easy to say and to tell apart. */
const FIRST = ["amber", "brisk", "calm", "clear", "coral", "crisp", "dusky", "early", "fair", "fleet", "fresh", "gold", "green", "hazel", "ivory", "jade", "keen", "late", "lucid", "mild", "misty", "noble", "olive", "pale", "quick", "quiet", "rapid", "rosy", "sharp", "silver", "smooth", "snowy", "solar", "sunny", "swift", "teal", "tidy", "vivid", "warm", "wild"];
const SECOND = ["badger", "bear", "beetle", "bison", "crane", "crow", "deer", "dove", "falcon", "finch", "fox", "gecko", "goose", "hare", "hawk", "heron", "ibis", "jay", "koala", "lark", "lynx", "marten", "mole", "moth", "newt", "orca", "otter", "owl", "panda", "puffin", "raven", "robin", "seal", "sparrow", "stoat", "swan", "tern", "toad", "wasp", "wren"];

const TRIES = 20;

export function freeName(taken: ReadonlySet<string>, random: () => number = Math.random): string {
	const pick = (list: string[]): string => list[Math.floor(random() * list.length)] ?? "vm";
	let name = "";
	for (let i = 0; i < TRIES; i++) {
		name = `${pick(FIRST)}-${pick(SECOND)}`;
		if (!taken.has(name)) return name;
	}
	return `${name}-${Math.floor(random() * 10_000)}`;
}
