// SPDX-License-Identifier: Apache-2.0
import { useRef } from "preact/hooks";
import { useKeys } from "../lib/keys";
import { Button } from "./basics";
import { Icon } from "./icon";

export function SearchBar({ value, onChange, placeholder, label }: {
	value: string; onChange: (value: string) => void; placeholder: string; label: string;
}) {
	const input = useRef<HTMLInputElement>(null);
	useKeys([
		{
			keys: "/", label: "Search", group: "List",
			run: () => {
				input.current?.focus();
				input.current?.select();
			},
		},
	]);
	return (
		<div class="searchbar" role="search">
			<Icon name="search" />
			<input
				ref={input}
				class="input"
				type="text"
				inputMode="search"
				aria-label={label}
				placeholder={placeholder}
				autocomplete="off"
				spellcheck={false}
				value={value}
				onInput={(event) => onChange(event.currentTarget.value)}
				onKeyDown={(event) => {
					if (event.key !== "Escape") return;
					event.preventDefault();
					if (value) onChange("");
					else input.current?.blur();
				}}
			/>
			{value ? <Button kind="quiet" icon="close" title="Clear the search" onClick={() => onChange("")} /> : <kbd aria-hidden="true">/</kbd>}
		</div>
	);
}
