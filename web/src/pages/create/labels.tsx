// SPDX-License-Identifier: Apache-2.0
import { Label } from "../../ui/basics";
import { Icon } from "../../ui/icon";

/** "team=ci nightly" -> { team: "ci", nightly: "" }. */
export function parseLabels(text: string): Record<string, string> {
	return Object.fromEntries(
		text.split(/[\s,]+/).filter(Boolean).map((word) => {
			const at = word.indexOf("=");
			return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
		}),
	);
}

export function LabelField({ value, onChange, wrong }: { value: string; onChange: (value: string) => void; wrong?: string | undefined }) {
	const labels = Object.entries(parseLabels(value));
	return (
		<div class="field">
			<label class="name" for="vm-labels">Labels</label>
			<input id="vm-labels" class="input mono" value={value} placeholder="team=ci purpose=demo" spellcheck={false} autocomplete="off"
				aria-invalid={Boolean(wrong)} onInput={(e) => onChange(e.currentTarget.value)} />
			{wrong ? (
				<span class="wrong"><Icon name="warn" size={14} />{wrong}</span>
			) : labels.length ? (
				<span class="row wrap">{labels.map(([k, v]) => <Label key={k} name={k} value={v} />)}</span>
			) : (
				<span class="help">Words of your own, for searches and clean-up.</span>
			)}
		</div>
	);
}
