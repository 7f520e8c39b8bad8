// SPDX-License-Identifier: Apache-2.0
/* Before the rest of the dashboard is even fetched: what the first paint must know, and what takes longest to be told. */

/* the chosen theme, so that the page does not flash */
try {
	const theme = JSON.parse(localStorage.getItem("banger.theme") || '"auto"');
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch (e) {
	/* storage is off: the system's theme it is */
}

/* the rows that fill the first page; src/store/live.ts takes the answer */
if (/^(#\/?(vms\/?)?(\?.*)?)?$/.test(location.hash)) {
	const headers = { Accept: "application/json" };
	try {
		const token = sessionStorage.getItem("banger.token");
		if (token) headers.Authorization = `Bearer ${token}`;
	} catch (e) {
		/* storage is off: the cookie has to do */
	}
	globalThis.firstVms = fetch("/vms?limit=60&sort=name", { headers, credentials: "same-origin", cache: "no-store" });
	/* whoever takes it sees that it failed */
	globalThis.firstVms.catch(() => undefined);
}
