// SPDX-License-Identifier: Apache-2.0
import { allKeys, caps, type Key } from "../lib/keys";
import { Kbd } from "../ui/basics";
import { showDialog } from "../ui/dialog";

export function showKeys(): void {
	const groups = new Map<string, Key[]>();
	for (const key of allKeys.peek()) {
		const list = groups.get(key.group) ?? [];
		if (!list.some((k) => k.keys === key.keys)) groups.set(key.group, [...list, key]);
	}
	showDialog({
		title: "Keyboard shortcuts",
		wide: true,
		body: (
			<div class="keys-help">
				{[...groups].map(([group, keys]) => (
					<section key={group}>
						<h3>{group}</h3>
						<ul>
							{keys.map((key) => (
								<li key={key.keys}>
									<span>{key.label}</span>
									<Kbd keys={caps(key.keys)} />
								</li>
							))}
						</ul>
					</section>
				))}
			</div>
		),
	});
}
