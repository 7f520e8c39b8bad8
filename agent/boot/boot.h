/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the kernel's hand-over to a root file system with a network: what the agent does before it
 * serves. Nothing here is fatal: what goes wrong is noted in the report, and the agent comes up
 * without it. One thread, before the event loop.
 */
#pragma once

#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdint.h>

#include "lib/base/macro.h"

struct boot_settings {
	char hostname[64]; /* "" for none */
	bool system_init;  /* the image's /sbin/init becomes PID 1 */
	bool work_tmpfs;
	char net[256];   /* see LINK_WORD_NET; "" for none */
	char disks[256]; /* see LINK_WORD_DISKS; "" for none */
};

struct boot_report {
	bool degraded;
	char problem[256]; /* the first problem, one sentence */
};

/* Notes a problem and prints it on the console. */
void boot_problem(struct boot_report *report, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* /proc, /sys, /dev and the console; the very first step. */
void boot_mount_early(struct boot_report *report);

/* Reads the banger.* words of a command line. */
void boot_parse_cmdline(const char *cmdline, struct boot_settings *ret_settings,
			struct boot_report *report);

/* Loads <dir>/<name> for each line of <dir>/list. A missing list is no problem: the kernel may have
 * all built in. */
void boot_load_modules(const char *dir, struct boot_report *report);

/* The serial of the disk `name`: the name itself unless banger.disks= says otherwise. */
void boot_disk_serial(const struct boot_settings *settings, const char *name, char *buf,
		      size_t size);

/* Waits (2 s at most) for the disk with this serial; "/dev/<name>" into `path`. 0 or -ENOENT. */
int boot_find_disk(const char *serial, char *path, size_t size) MUST_USE;

/* Mounts image and work disk, makes the overlay of both the root, frees the initramfs. */
void boot_switch_root(const struct boot_settings *settings, struct boot_report *report);

/* /dev/pts, /dev/shm, /run, /tmp and cgroup2, after the root is the final one. */
void boot_mount_late(bool cgroup, struct boot_report *report);

/* Sets the host name, in the kernel, /etc/hostname and /etc/hosts. Returns 0 or -errno. */
int boot_set_hostname(const char *name) MUST_USE;

/* Gives the first interface this address ("02:ba:…"). Returns 0, -ENODEV or another -errno. */
int boot_set_mac(const char *mac) MUST_USE;

/* Brings the loopback interface up. Returns 0 or -errno. */
int boot_loopback_up(void) MUST_USE;

struct boot_net {
	char dev[IFNAMSIZ]; /* "" for the first one */
	struct in_addr address;
	unsigned int prefix;
	struct in_addr gateway; /* 0 for none */
	struct in_addr dns[3];
	size_t n_dns;
	unsigned int mtu;         /* 0: leave */
	uint8_t mac[6];           /* all zero: leave */
	struct in6_addr address6; /* :: for none; likewise the gateway */
	unsigned int prefix6;
	struct in6_addr gateway6;
};

/* Returns 0 or -EINVAL. */
int boot_net_parse(const char *word, struct boot_net *ret_net) MUST_USE;
/* Replaces the interface's address and the default route, and writes /etc/resolv.conf. */
int boot_net_apply(const struct boot_net *net) MUST_USE;
