// SPDX-License-Identifier: Apache-2.0
import { route, setQuery } from "../../lib/router";
import type { Vm } from "../../api/types";
import { Button, Empty, Loading } from "../../ui/basics";
import { EventList, EventTools, matching } from "../events/list";
import { useEvents } from "../events/use";

export function EventsTab({ vm }: { vm: Vm }) {
	const { list, loading } = useEvents({ target: vm.id });
	const query = route.value.query.get("q") ?? "";
	if (loading && list.length === 0) return <Loading what="events" />;
	if (list.length === 0) {
		return (
			<Empty icon="events" title="Nothing has been noted about this VM">
				<p>Every change of its state will be listed here, with who asked for it.</p>
			</Empty>
		);
	}
	const found = matching(list, query);
	return (
		<>
			<EventTools list={list} found={found} query={query} />
			{found.length === 0 ? (
				<Empty icon="events" title="No event fits this search" action={<Button label="Clear the search" onClick={() => setQuery({ q: "" })} />} />
			) : (
				<EventList list={found} />
			)}
		</>
	);
}
