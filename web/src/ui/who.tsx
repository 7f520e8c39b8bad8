// SPDX-License-Identifier: Apache-2.0
/* Who asked for something, in a word: a browser's session has a name that nobody would read. */
import { session } from "../store/live";

const SESSION = /^token:dashboard-\w+$/;

/** `me`: the principal of this browser. */
export function whoText(by: string, me: string | undefined): string {
	if (me === by) return SESSION.test(by) ? "this browser" : `${by} (you)`;
	if (SESSION.test(by)) return "a browser";
	return by.replace(/^token:/, "token ");
}

export function Who({ by }: { by: string | undefined }) {
	if (!by) return <span class="dim">–</span>;
	return <span class="clip" title={by}>{whoText(by, session.value?.principal)}</span>;
}
