// SPDX-License-Identifier: Apache-2.0
/* Times: near ones relative, the exact one on hover and for screen readers. */
import { ago, clock, duration, instant, span } from "../lib/format";
import { now, utc } from "../store/clock";

export function Ago({ time }: { time: string | undefined }) {
	const t = instant(time);
	if (t === undefined) return <span class="dim">–</span>;
	return (
		<time class="num" dateTime={new Date(t).toISOString()} title={`${clock(t, 0, utc.value)}${utc.value ? " UTC" : ""}`}>
			{ago(t, now.value)}
		</time>
	);
}

/** "14:05:09", in local time or UTC as chosen. */
export function At({ time }: { time: string | undefined }) {
	const t = instant(time);
	if (t === undefined) return <span class="dim">–</span>;
	return (
		<time class="num" dateTime={new Date(t).toISOString()} title={ago(t, now.value)}>
			{clock(t, now.value, utc.value)}
		</time>
	);
}

/** Time since `from`, ticking. */
export function Since({ from }: { from: string | undefined }) {
	const t = instant(from);
	if (t === undefined) return <span class="dim">–</span>;
	return <span class="num" title={`since ${clock(t, 0, utc.value)}`}>{duration(Math.max(0, Math.floor((now.value - t) / 1000) * 1000))}</span>;
}

/** Time until `to`; red in its last minute. */
export function Until({ to }: { to: string | undefined }) {
	const t = instant(to);
	if (t === undefined) return <span class="dim">–</span>;
	const left = t - now.value;
	return (
		<span class={`num${left < 60_000 ? " soon" : ""}`} title={`at ${clock(t, 0, utc.value)}`}>
			{left > 0 ? span(Math.ceil(left / 1000) * 1000) : "now"}
		</span>
	);
}
