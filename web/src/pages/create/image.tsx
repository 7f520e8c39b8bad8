// SPDX-License-Identifier: Apache-2.0
/* What a VM is made of: the images of this host, and those that the server can bring. */
import { useEffect, useState } from "preact/hooks";
import { can } from "../../api/capabilities";
import { catalog, type CatalogName } from "../../api/catalog";
import { mib } from "../../lib/format";
import { href } from "../../lib/router";
import { images } from "../../store/live";
import { Icon } from "../../ui/icon";

const CARDS = 8;

export function ImageField({ value, onChange, wrong }: { value: string | undefined; onChange: (image: string | undefined) => void; wrong?: string | undefined }) {
	const [names, setNames] = useState<CatalogName[]>([]);
	useEffect(() => {
		if (can("catalog_list")) void catalog("image").then(setNames, () => undefined);
	}, []);
	const list = images.value ?? [];
	const cards = list.slice(0, CARDS);
	const others = list.slice(CARDS);
	const far = names.filter((entry) => !list.some((image) => image.name === entry.name));
	return (
		<fieldset class="field">
			<legend class="name">Image</legend>
			{list.length > 0 ? (
				<div class="choice-cards">
					<label class={value === undefined ? "on" : ""}>
						<input type="radio" class="sr" name="image" checked={value === undefined} onChange={() => onChange(undefined)} />
						<strong>Default</strong>
						<span class="dim small">what the server is set to</span>
					</label>
					{cards.map((image) => (
						<label key={image.name} class={value === image.name ? "on" : ""}>
							<input type="radio" class="sr" name="image" checked={value === image.name} onChange={() => onChange(image.name)} />
							<strong class="clip">{image.name}</strong>
							<span class="dim small clip">{mib(image.size_bytes / 1048576)} · {image.source}</span>
						</label>
					))}
				</div>
			) : (
				<p class="help">
					There is no image yet. <a href={href(["images"])}>Build one</a>; <code>mini</code> is ready in seconds.
				</p>
			)}
			{others.length + far.length > 0 && (
				<select
					class="select"
					aria-label="Another image"
					value={cards.some((image) => image.name === value) ? "" : (value ?? "")}
					onChange={(event) => onChange(event.currentTarget.value || undefined)}
				>
					<option value="">Another image…</option>
					{others.length > 0 && (
						<optgroup label="On this host">
							{others.map((image) => <option key={image.name} value={image.name}>{image.name}</option>)}
						</optgroup>
					)}
					{far.length > 0 && (
						<optgroup label="Not here yet: brought first, which takes a while">
							{far.map((entry) => <option key={entry.name} value={entry.name}>{entry.name} ({entry.source})</option>)}
						</optgroup>
					)}
				</select>
			)}
			{wrong && <span class="wrong"><Icon name="warn" size={14} />{wrong}</span>}
		</fieldset>
	);
}
