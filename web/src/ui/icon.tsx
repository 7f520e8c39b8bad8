// SPDX-License-Identifier: Apache-2.0
/* Line icons on a 16 px grid, one stroke width. Decorative: the words beside them say it. */
const PATHS = {
	vms: "M2.5 3.5h11v4h-11zM2.5 9.5h11v3h-11zM5 5.5h.01M5 11h.01",
	image: "M8 1.8 14 5v6l-6 3.2L2 11V5zM2.2 5.1 8 8.2l5.8-3.1M8 8.2v5.8",
	host: "M3 2.5h10v5H3zM3 8.5h10v5H3zM5.5 5h.01M5.5 11h.01M8 5h3M8 11h3",
	doctor: "M1.5 8.5h3l1.5-4.5 3 8.5 1.8-4h3.7",
	events: "M4.5 3.5h9M4.5 8h9M4.5 12.5h9M2 3.5h.01M2 8h.01M2 12.5h.01",
	runs: "M3 8.5 6.5 12 13 4.5",
	snapshots: "M5 4.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM14 4.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM5 12.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM3.5 6v5M12.5 6c0 3-3 3-5 3.5-2 .4-4 .5-4 1.5",
	tokens: "M7.5 8.5a3.2 3.2 0 1 1-1.2-1.2zM7 8 13.5 1.5M11 4l2 2M9.2 5.8l1.2 1.2",
	plus: "M8 3v10M3 8h10",
	search: "M11 6.8a4.2 4.2 0 1 1-8.4 0 4.2 4.2 0 0 1 8.4 0zM10 10l3.8 3.8",
	play: "M4.5 2.8v10.4L13 8z",
	stop: "M4 4h8v8H4z",
	restart: "M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3",
	pause: "M5.5 3.5v9M10.5 3.5v9",
	power: "M8 2v6M4.8 4a5 5 0 1 0 6.4 0",
	moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5z",
	fork: "M4 3v3.5C4 8.5 8 8 8 10v3M12 3v3.5C12 8.5 8 8 8 10",
	camera: "M2 5h3l1-1.5h4L11 5h3v8H2zM10.2 8.8a2.2 2.2 0 1 1-4.4 0 2.2 2.2 0 0 1 4.4 0z",
	trash: "M2.5 4.5h11M6 4.5v-2h4v2M4 4.5l.7 9h6.6l.7-9M6.8 7v4M9.2 7v4",
	terminal: "M2 3h12v10H2zM4.5 6 6.5 8l-2 2M8.5 10.5h3",
	logs: "M3.5 2h6L12.5 5v9h-9zM9.5 2v3h3M5.8 8h4.4M5.8 10.8h4.4",
	files: "M2 4h4.5L8 5.5h6V13H2z",
	network: "M6 2h4v3.5H6zM1.8 10.5h4V14h-4zM10.2 10.5h4V14h-4zM8 5.5V8M3.8 10.5V8h8.4v2.5",
	more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
	close: "M4 4l8 8M12 4l-8 8",
	check: "M3.5 8.5 6.5 11.5 12.5 4.5",
	copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
	json: "M6 2.5c-2 0-2 1-2 2.5S3.8 8 2.5 8C3.8 8 4 9.5 4 11s0 2.5 2 2.5M10 2.5c2 0 2 1 2 2.5s.2 3 1.5 3c-1.3 0-1.5 1.5-1.5 3s0 2.5-2 2.5",
	table: "M2 3h12v10H2zM2 6.3h12M2 9.6h12M6.5 6.3V13",
	user: "M10.5 5.2a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM3 13.5c0-2.8 2-4 5-4s5 1.2 5 4",
	down: "M4 6l4 4 4-4",
	up: "M4 10l4-4 4 4",
	right: "M6 4l4 4-4 4",
	left: "M10 4 6 8l4 4",
	columns: "M2.5 3h11v10h-11zM6.2 3v10M9.8 3v10",
	filter: "M2 4h12M4.5 8h7M6.8 12h2.4",
	sun: "M10.8 8a2.8 2.8 0 1 1-5.6 0 2.8 2.8 0 0 1 5.6 0zM8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7",
	auto: "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM8 2v12M8 4.5h4.8M8 8h6M8 11.5h4.8",
	clock: "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM8 4.5V8l2.5 1.5",
	warn: "M8 2.2 14.5 13.5h-13zM8 6.5v3.2M8 11.6h.01",
	info: "M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0zM8 7.5v3.5M8 5.2h.01",
	download: "M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11",
	upload: "M8 10.5v-8M4.5 6 8 2.5 11.5 6M2.5 13.5h11",
	open: "M9 2.5h4.5V7M13.5 2.5 7.5 8.5M11.5 9v4.5h-9v-9H7",
	wrap: "M2.5 4h11M2.5 8h9a2.3 2.3 0 0 1 0 4.5H8M9.5 11 8 12.5 9.5 14M2.5 12.5h3",
	keyboard: "M1.5 4h13v8h-13zM4 6.5h.01M6.7 6.5h.01M9.3 6.5h.01M12 6.5h.01M4 9.5h.01M12 9.5h.01M6 9.5h4",
	kernel: "M4.5 4.5h7v7h-7zM6.5 2v2.5M9.5 2v2.5M6.5 11.5V14M9.5 11.5V14M2 6.5h2.5M2 9.5h2.5M11.5 6.5H14M11.5 9.5H14",
	tasks: "M2.5 4l1 1 2-2M2.5 11l1 1 2-2M8 4.5h5.5M8 11.5h5.5",
	follow: "M8 2v9M4.5 7.5 8 11l3.5-3.5M3 14h10",
	settings: "M2.5 4.5h6M11.5 4.5h2M2.5 11.5h2M7.5 11.5h6M11.5 4.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM7.5 11.5a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0z",
	expand: "M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5l-4.5 4.5M2.5 13.5l4.5-4.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
	return (
		<svg class={`icon${name === "more" ? " dots" : ""}`} width={size} height={size} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
			<path d={PATHS[name]} />
		</svg>
	);
}
