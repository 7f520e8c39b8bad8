// SPDX-License-Identifier: Apache-2.0
/* Before the rest of the dashboard is even fetched: what takes longest to be told, and what the first paint must know. */

/* the rows that fill the first page, none of them lower than 44 pixels; src/store/live.ts takes the answer */
if (/^(#\/?(vms\/?)?(\?.*)?)?$/.test(location.hash)) {
	const headers = { Accept: "application/json" };
	try {
		const token = sessionStorage.getItem("banger.token");
		if (token) headers.Authorization = `Bearer ${token}`;
	} catch (e) {
		/* storage is off: the cookie has to do */
	}
	const rows = Math.max(20, Math.ceil(innerHeight / 44));
	globalThis.firstVms = fetch(`/vms?limit=${rows}&sort=name`, { headers, credentials: "same-origin", cache: "no-store" });
	/* whoever takes it sees that it failed */
	globalThis.firstVms.catch(() => undefined);
}

/* the chosen theme, so that the page does not flash */
try {
	const theme = JSON.parse(localStorage.getItem("banger.theme") || '"auto"');
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (e) {
	/* storage is off: the system's theme it is */
}
