// SPDX-License-Identifier: Apache-2.0
/* A list of events with what narrows it down; of everything, or of one VM. */
import { useState } from "preact/hooks";
import type { ApiEvent } from "../../api/types";
import { plural } from "../../lib/format";
import { setQuery } from "../../lib/router";
import { hasTerm, matcher, parse, toggleTerm, type Fields } from "../../lib/search";
import { Button } from "../../ui/basics";
import { SearchBar } from "../../ui/search";
import { gist } from "./gist";
import { EventTable } from "./table";

const FIELDS: Fields<ApiEvent> = {
	kind: (e) => e.kind,
	on: (e) => [e.target_name ?? "", e.target ?? ""],
	by: (e) => e.by,
	state: (e) => gist(e).state,
	operation: (e) => e.operation,
	text: (e) => gist(e).text,
};
/** Rows at once: more when somebody asks for them. */
const SHOWN = 100;

export function matching(list: ApiEvent[], query: string): ApiEvent[] {
	const terms = parse(query);
	return terms.length ? list.filter(matcher(terms, FIELDS, ["kind", "on", "by", "text", "operation"])) : list;
}

export function EventTools({ list, found, query }: { list: ApiEvent[]; found: ApiEvent[]; query: string }) {
	const areas = [...new Set(list.map((e) => e.kind.split(".")[0] ?? ""))].sort();
	return (
		<div class="row wrap">
			<SearchBar value={query} onChange={(q) => setQuery({ q })} placeholder="Search: name, kind:vm.*, by:uid:1000, state:failed" label="Search events" />
			<span class="group">
				{areas.length > 1 && areas.map((area) => (
					<Button key={area} label={area} aria-pressed={hasTerm(query, "kind", kindOf(area))} onClick={() => setQuery({ q: toggleTerm(query, "kind", kindOf(area)) })} />
				))}
			</span>
			<span class="dim num small" role="status">{plural(found.length, "event")}</span>
		</div>
	);
}

/** Most kinds have a second word; "request" has none. */
const kindOf = (area: string): string => (area === "request" ? area : `${area}.*`);

export function EventList({ list, withTarget }: { list: ApiEvent[]; withTarget?: boolean }) {
	const [shown, setShown] = useState(SHOWN);
	return (
		<section class="card flush scroll">
			<EventTable list={list.slice(0, shown)} withTarget={withTarget ?? false} />
			{list.length > shown && (
				<p class="foot-note row">
					<span class="dim">The newest {shown} of {list.length}.</span>
					<Button kind="quiet" label="Show more" onClick={() => setShown(shown + 2 * SHOWN)} />
				</p>
			)}
		</section>
	);
}
