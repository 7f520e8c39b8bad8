// SPDX-License-Identifier: Apache-2.0
import type { Vm } from "../../api/types";
import { Empty, Loading } from "../../ui/basics";
import { EventTable } from "../events/table";
import { useEvents } from "../events/use";

export function EventsTab({ vm }: { vm: Vm }) {
	const { list, loading } = useEvents({ target: vm.id });
	if (loading && list.length === 0) return <Loading what="events" />;
	if (list.length === 0) {
		return (
			<Empty icon="events" title="Nothing has been noted about this VM">
				<p>Every change of its state will be listed here, with who asked for it.</p>
			</Empty>
		);
	}
	return (
		<section class="card flush">
			<EventTable list={list} />
		</section>
	);
}
