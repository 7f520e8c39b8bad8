// SPDX-License-Identifier: Apache-2.0
/* What a stage works on side by side, a bar each: the layers of an image that is pulled. */
import type { Operation } from "../api/types";
import { bytes, percent } from "../lib/format";
import { Progress } from "./basics";

export function Parts({ op }: { op: Operation }) {
	const parts = op.progress?.parts ?? [];
	if (parts.length < 2) return null;
	return (
		<ol class="parts">
			{parts.map((part, i) => (
				<li key={i}>
					<code class="dim">{part.name}</code>
					<Progress value={percent(part.done, part.total)} label={`Layer ${part.name}`} />
					<span class="num soft">{part.done >= part.total ? bytes(part.total) : `${bytes(part.done)} of ${bytes(part.total)}`}</span>
				</li>
			))}
		</ol>
	);
}
