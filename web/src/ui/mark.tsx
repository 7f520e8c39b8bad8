// SPDX-License-Identifier: Apache-2.0

/** The sign of the project, as in public/favicon.svg; drawn here, as a picture of its own would be a document more to load. */
export function Mark() {
	return (
		<svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
			<rect width="32" height="32" rx="8" fill="#4f46e5" />
			<path
				d="M10 7v18h7.2c3.6 0 5.8-2 5.8-5 0-2.2-1.2-3.8-3.2-4.4 1.5-.7 2.4-2 2.4-3.8 0-2.9-2-4.8-5.5-4.8zm3.6 3h2.7c1.6 0 2.4.8 2.4 2.1s-.9 2.2-2.5 2.2h-2.6zm0 7.1h3c1.8 0 2.8.9 2.8 2.4s-1 2.5-2.8 2.5h-3z"
				fill="#fff"
			/>
			<circle cx="25.5" cy="6.5" r="3" fill="#fbbf24" />
		</svg>
	);
}
