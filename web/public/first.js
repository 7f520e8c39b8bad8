// SPDX-License-Identifier: Apache-2.0
/* Before the first paint: the chosen theme, so that the page does not flash. */
try {
	const theme = JSON.parse(localStorage.getItem("banger.theme") || '"auto"');
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (e) {
	/* storage is off: the system's theme it is */
}
