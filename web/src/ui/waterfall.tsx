// SPDX-License-Identifier: Apache-2.0
/* Stages one below the other on a common time axis: where the time went, at a glance. */
import type { Stage } from "../api/types";
import { duration } from "../lib/format";

/** Round steps for an axis of `total` ms with about `wanted` marks. */
export function ticks(total: number, wanted = 5): number[] {
	if (!(total > 0)) return [];
	const rough = total / wanted;
	const power = 10 ** Math.floor(Math.log10(rough));
	const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? rough;
	const marks: number[] = [];
	for (let t = 0; t <= total * 1.0001; t += step) marks.push(t);
	return marks;
}

export function Waterfall({ stages, total }: { stages: Stage[]; total?: number | undefined }) {
	const end = Math.max(
		total ?? 0,
		...stages.map((s) => s.start_ms + (s.duration_ms ?? 0)),
		1,
	);
	const longest = Math.max(...stages.map((s) => s.duration_ms ?? 0));
	const at = (ms: number): string => `${(Math.min(ms, end) / end) * 100}%`;
	return (
		<figure class="waterfall" aria-label={`Stages, ${duration(end)} in all`}>
			<div class="axis" aria-hidden="true">
				{ticks(end).map((t) => (
					<span key={t} class="num" style={{ left: at(t) }}>
						{t === 0 ? "0" : duration(t)}
					</span>
				))}
			</div>
			<ol>
				{stages.map((stage, i) => {
					const length = stage.duration_ms ?? Math.max(0, end - stage.start_ms);
					const open = stage.duration_ms === undefined;
					return (
						<li key={`${i}${stage.name}`}>
							<span class="name clip" title={stage.name}>{stage.name.replace(/_/g, " ")}</span>
							<span class="lane">
								<span
									class={`bar${open ? " open" : ""}${!open && stage.duration_ms === longest && stages.length > 2 ? " longest" : ""}`}
									style={{ left: at(stage.start_ms), width: at(length) }}
								/>
							</span>
							<span class="num took">{open ? "…" : duration(length)}</span>
						</li>
					);
				})}
			</ol>
		</figure>
	);
}
