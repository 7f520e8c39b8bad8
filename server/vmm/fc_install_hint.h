/* SPDX-License-Identifier: Apache-2.0 */
/* How to get Firecracker on this distribution: one line. */
#pragma once

/*
 * Pure. From the text of /etc/os-release (NULL: there is none), by ID and then by each word of
 * ID_LIKE: an install command where the distribution is known to package it, otherwise the address
 * of upstream's releases, because a wrong guess sends people on a goose chase. A static string.
 */
const char *fc_install_hint(const char *os_release);

/* The text for fc_install_hint() from this host, or NULL. The caller frees. */
char *os_release_read(void);
