/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machine monitors behind one small table.
 *
 * Everything that a driver needs is in `struct vmm_config` and below the VM's own run folder; it
 * keeps no state of its own between calls, so a VM is found again after a restart of the server
 * from its row and its folder alone. Functions of a driver run on worker threads, may block up to
 * `deadline`, give up when `cancel_fd` becomes readable, and leave no process behind when they
 * fail.
 */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/proc/proc.h"

enum { VMM_DISKS_MAX = 8 };

enum vmm_cap {
	VMM_CAP_PAUSE = 1 << 0,
	VMM_CAP_SNAPSHOT = 1 << 1, /* snapshot and restore with memory */
	VMM_CAP_USER_NET = 1 << 2, /* network without root */
	VMM_CAP_TAP_FD = 1 << 3,   /* takes an open tap descriptor */
	VMM_CAP_JAIL = 1 << 4,     /* can be started in a jail */
};

enum vmm_accel { VMM_ACCEL_NONE, VMM_ACCEL_KVM, VMM_ACCEL_TCG };

/* "none", "kvm", "tcg" */
const char *vmm_accel_name(enum vmm_accel accel);

enum vmm_net_mode { VMM_NET_NONE, VMM_NET_USER, VMM_NET_TAP };

/*
 * What a guest on VMM_NET_USER may assume. There is no DHCP when the network is closed; the agent
 * sets these itself.
 */
#define VMM_USER_NET_ADDRESS "10.0.2.15"
#define VMM_USER_NET_PREFIX  "24"
#define VMM_USER_NET_GATEWAY "10.0.2.2"
#define VMM_USER_NET_DNS     "10.0.2.3"

struct vmm_disk {
	const char *serial; /* at most 20 bytes: how the guest finds it */
	const char *path;   /* absolute, raw format */
	bool read_only;
};

struct vmm_net {
	enum vmm_net_mode mode;
	const char *mac; /* "02:…" */
	int tap_fd;      /* VMM_NET_TAP with VMM_CAP_TAP_FD; borrowed */
	const char *tap_name;
	bool restrict_out; /* VMM_NET_USER: no way out (nat: false) */
};

/* Who starts a VMM in a jail. Firecracker only; the others start as our own child. */
struct vmm_config;
struct vmm_jail {
	const char *root; /* absolute: the folder that the process will see as "/" */
	/*
	 * Starts it with its output on the pipe `log_fd`; gives its number and a pidfd, which is
	 * the caller's. Worker.
	 */
	int (*launch)(void *data, const struct vmm_config *config, int log_fd, pid_t *ret_pid,
		      int *ret_pidfd, struct error *err);
	void *data;
};

struct vmm_config {
	const char *id;      /* 16 characters, see lib/base/id.h */
	const char *name;    /* DNS label, for process titles */
	const char *run_dir; /* absolute; the VM's own folder, 0700: sockets, pid files, logs of the
				VMM */
	uint32_t vcpus;
	uint32_t memory_mib;
	const char *cpu_model; /* NULL: the driver's default */
	enum vmm_accel accel;
	const char *kernel;  /* absolute path of an ELF vmlinux */
	const char *initrd;  /* absolute path; NULL for none */
	const char *cmdline; /* what the caller adds; the driver puts its own words in front */
	struct vmm_disk disks[VMM_DISKS_MAX];
	size_t n_disks;
	struct vmm_net net;
	const struct vmm_jail *jail; /* NULL: none */
	const char *cgroup_procs;    /* file that the process is put into (cgroup.h); NULL: none */
	const char *libexec; /* folder of our own worker programs; needed for VMM_NET_USER */
};

struct vmm_wait {
	int64_t deadline_us; /* on the monotonic clock */
	int cancel_fd;       /* -1: none */
};

struct vmm_probe {
	bool usable;
	bool unsupported; /* it is there, but too old or unreadable: an error in any case */
	enum vmm_accel accel;
	char version[32]; /* "7.2.15" */
	char path[256];   /* of the binary */
	char detail[256]; /* one sentence: what was found and why it can or can't be used */
	char remedy[256]; /* what to do; "" when usable */
};

struct vmm_stats {
	uint64_t cpu_us;
	uint64_t rss_bytes;
	uint64_t pss_bytes;     /* what is shared counted in parts */
	uint64_t private_bytes; /* that nobody else maps */
	uint64_t disk_read_bytes;
	uint64_t disk_written_bytes;
};

/* How a VMM says that its guest is. */
enum vmm_guest {
	VMM_GUEST_RUNS,
	VMM_GUEST_STANDS,  /* as it was told */
	VMM_GUEST_NO_ROOM, /* the host had none for what it wrote to its disk; resume tries again */
	VMM_GUEST_HALTED,  /* and can't go on */
};

/* A step of the caller's within one of the driver's: 0, or a negative errno with err set. */
struct vmm_hook {
	int (*fn)(void *data, struct error *err);
	void *data;
};

struct vmm_driver {
	const char *name; /* "qemu", "firecracker" */
	uint32_t caps;    /* of enum vmm_cap */

	/* Looks at the host; changes nothing. What it accepts: docs/architecture.md. */
	void (*probe)(struct vmm_probe *ret_probe);

	/*
	 * Whether VMM_NET_USER can be had on this host: tries what it takes. NULL without
	 * VMM_CAP_USER_NET.
	 */
	int (*probe_user_net)(const struct vmm_wait *wait, struct error *err);

	/*
	 * Any thread, never blocks: a descriptor, the caller's, that is readable once the user-mode
	 * network of a running VM has ended. -ESRCH: it has; -ENOENT: it has none that can be
	 * renewed. NULL without VMM_CAP_USER_NET.
	 */
	int (*watch_user_net)(const struct vmm_config *config);
	/* Gives it another one. The guest's device stays; what was connected is not any more. */
	int (*renew_user_net)(const struct vmm_config *config, const struct vmm_wait *wait,
			      struct error *err);

	/*
	 * Gives a VM that was restored with a closed network (VMM_NET_USER with restrict_out) the
	 * one of its configuration. NULL: it can't be given later.
	 */
	int (*join_net)(const struct vmm_config *config, const struct vmm_wait *wait,
			struct error *err);

	/* Starts the VMM with the guest running. *ret_proc is the caller's. */
	int (*start)(const struct vmm_config *config, const struct vmm_wait *wait,
		     struct proc *ret_proc, struct error *err);

	int (*pause)(const struct vmm_config *config, const struct vmm_wait *wait,
		     struct error *err);
	int (*resume)(const struct vmm_config *config, const struct vmm_wait *wait,
		      struct error *err);

	/*
	 * Writes device state and memory of a paused VM into the (existing, empty) folder `dir_fd`.
	 * The VM stays paused. Disks are the caller's business.
	 */
	int (*snapshot)(const struct vmm_config *config, int dir_fd, const struct vmm_wait *wait,
			struct error *err);
	/*
	 * Starts a VMM from such a folder, mapping its memory private; the guest runs on return.
	 * `before_run` (or NULL) is called once all is loaded, and may still end it. -EUCLEAN: it
	 * has ended, but its guest may have run, and written to the disk, before that.
	 */
	int (*restore)(const struct vmm_config *config, int dir_fd,
		       const struct vmm_hook *before_run, const struct vmm_wait *wait,
		       struct proc *ret_proc, struct error *err);

	/* Asks the VMM to end now, without the guest's consent. The caller waits for the process
	 * and kills it. */
	int (*quit)(const struct vmm_config *config, const struct vmm_wait *wait,
		    struct error *err);

	/*
	 * Any thread, never blocks: a new connection to the guest's agent as one raw byte stream,
	 * or to the serial console. Non-blocking descriptor or a negative errno (-ENOENT,
	 * -ECONNREFUSED: not there yet).
	 */
	int (*open_link)(const struct vmm_config *config);
	int (*open_console)(const struct vmm_config *config);

	/*
	 * Any thread, never blocks: a new connection on which the VMM has been asked how its guest
	 * is, or a negative errno (-EAGAIN: it lets nobody in). What comes back is shown to
	 * read_answer() from its beginning until that gives 1 and *ret_guest, or a negative errno;
	 * 0 wants more.
	 */
	int (*ask)(const struct vmm_config *config);
	int (*read_answer)(const char *data, size_t len, enum vmm_guest *ret_guest);

	int (*stats)(const struct vmm_config *config, const struct proc *proc,
		     struct vmm_stats *ret_stats);

	/* Why the VMM ended, from its wait status (-1: not our child) and its log: one sentence
	 * into `buf`. */
	void (*explain_exit)(const struct vmm_config *config, int status, char *buf, size_t size);
};

extern const struct vmm_driver vmm_qemu;
extern const struct vmm_driver vmm_firecracker;

/* All drivers in order of preference; ended by NULL. */
extern const struct vmm_driver *const vmm_drivers[];

const struct vmm_driver *vmm_find(const char *name);

/*
 * `vmm = auto`: Firecracker where its binary is in the version window and hardware KVM works, else
 * QEMU with KVM, else QEMU with software emulation. *ret_why gets one sentence for doctor.
 */
const struct vmm_driver *vmm_choose(const char *wanted, struct vmm_probe *ret_probe, char *why,
				    size_t why_size, struct error *err);
