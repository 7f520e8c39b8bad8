/* SPDX-License-Identifier: Apache-2.0 */
/*
 * banger-helper: what its files share.
 *
 * The program has four stages (main.c): start, bind, drop, serve. In the last one it answers fixed
 * requests (lib/helper/wire.h) by a table {operation, gate, run}. A gate looks at the numbers of a
 * request and touches nothing; a run derives every name and path from a VM id that the gate has
 * accepted and from the configuration, which only root can write. Nothing of a VM is remembered
 * between requests: whatever the helper makes is named after it.
 *
 * Everything that reaches the kernel or another program goes through `struct sys` or a directory
 * descriptor in `struct helper`, so tests and fuzzers run all of it without root.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/macro.h"
#include "lib/helper/wire.h"
#include "lib/proc/proc.h"

enum {
	TAP_NAME_SIZE = 16,   /* TAP_PREFIX, 12 characters of the VM id, NUL: IFNAMSIZ */
	NFT_NAT_ELEMENTS = 2, /* the last of a guest's */
	NFT_GUEST_ELEMENTS = 8 + NFT_NAT_ELEMENTS,
	PROC_FILE_MAX = 64 * 1024,
};

#define TAP_PREFIX "bgr"
#define NFT_TABLE  "banger" /* of the families bridge and inet */

/* From the command line in the unit file, which root wrote. Fixed after start. */
struct config {
	uid_t owner_uid;
	gid_t owner_gid;
	uint32_t subnet;         /* network address, as a number */
	uint32_t prefix;         /* 16 to 28 */
	uint8_t ula[16];         /* IPv6 prefix of 64 bits */
	const char *runtime_dir; /* of the server: absolute, no symbolic link in it */
	const char *jail_dir;    /* absolute; root's, so that nobody can bend paths below it */
	const char *firecracker; /* absolute */
	const char *jailer;
	const char *socket;
};

/* One element of a set in the tables of nft_rules: there, or not there. */
struct nft_element {
	unsigned char family; /* of the table: NFPROTO_… */
	const char *set;
	bool on;
	uint8_t key[TAP_NAME_SIZE + 16];
	size_t key_size;
};

/* The system calls and programs. */
struct sys {
	/* The functions of these names: -1 and errno. */
	int (*pidfd_open)(pid_t pid, unsigned int flags);
	int (*pidfd_send_signal)(int pidfd, int sig, siginfo_t *info, unsigned int flags);
	int (*lstat)(const char *path, struct stat *ret_st);
	unsigned int (*if_nametoindex)(const char *name);
	/* >= 0 or a negative errno, from here on. */
	/* Runs a program with `input` (NULL: none) to its end; an error when it says no. */
	int (*run)(const char *const *argv, const char *input);
	/* Starts a program with its output on `out_fd` (-1: /dev/null). */
	int (*spawn)(const char *const *argv, int out_fd, struct proc *ret_proc);
	/* The bridge with its addresses, up; nothing changes when it is there. */
	int (*bridge)(const struct config *config);
	/* All in one transaction; -ENOENT when nft_rules are not in force. */
	int (*elements)(const struct nft_element *elements, size_t n);
	/* A new tap on the bridge, up; its descriptor. -EBUSY when there is one. */
	int (*tap)(const char *name, unsigned int flags, uid_t owner);
	/* Absent is success. */
	int (*link_delete)(const char *name);
};

extern const struct sys sys_linux;

struct helper {
	const struct config *config;
	const struct sys *sys;
	pid_t self;
	int root_fd;   /* "/" */
	int proc_fd;   /* "/proc" */
	int cgroup_fd; /* the helper's own service cgroup on cgroup v2; -1: none */
	int jail_fd;   /* config->jail_dir; -1: none */
	bool rules;    /* nft has taken nft_rules from this helper */
	/* The path of the service cgroup as /proc/<pid>/cgroup shows it, such as
	 * "/system.slice/banger-helper.service"; "" when not started by systemd. */
	char unit_path[512];
	unsigned int lacks; /* of enum helper_lacks */
};

/* One request being answered. */
struct call {
	enum helper_op op;
	const void *body; /* of helper_request_size(op) bytes */
	int fd;           /* brought by the request; -1: none. Stays the server's to close. */
	union {
		struct helper_status_reply status;
		struct helper_bridge_reply bridge;
		struct helper_tap_reply tap;
		struct helper_launch_reply launch;
	} reply;                   /* zeroed */
	int reply_fd;              /* -1; closed by the server after the reply */
	enum helper_reason reason; /* for a failure; HELPER_HOST unless a run says better */
};

/* Answers one well-formed request: 0, or -errno with call->reason set. */
int helper_answer(struct helper *h, enum helper_op op, struct call *call);

/* For a run that knows better than HELPER_HOST: `error`, a negative errno. */
static inline int refuse(struct call *call, enum helper_reason reason, int error)
{
	call->reason = reason;
	return error;
}

/* --- gates (gate.c): pure --- */

bool all_zero(const void *p, size_t n);
bool vm_id_ok(const char id[HELPER_ID_LEN]);
bool address_ok(const struct config *config, uint32_t address);
/* "TERM", "sigterm", …; 0 for anything else. */
int signal_number(const char *name, size_t size);
/* What process.signal or process.kill asks for; 0 for what may not be sent. */
int signal_asked(const struct call *call);
/* The interface of a VM; `name` of TAP_NAME_SIZE bytes. */
void tap_name(const char id[HELPER_ID_LEN], char *name);
/* The one behind a line of a NUL-terminated text; NULL behind the last. */
const char *next_line(const char *line);
/* The path in a line of /proc/<pid>/cgroup, up to the line's end; NULL in a hierarchy that says
 * nothing. */
const char *cgroup_path(const char *line);
/* True when a line of /proc/<pid>/cgroup puts a process at or below `unit_path`. */
bool cgroup_below(const char *text, const char *unit_path);
/* The socket in a NUL-separated command line that says --api-sock or -a; NULL for none. */
const char *api_sock_of(const char *cmdline, size_t len);
/* True for an absolute path, free of tricks, that lies below `dir` by its text. */
bool path_below(const char *path, const char *dir);

/* --- operations --- */

int run_signal(struct helper *h, struct call *call);

int run_bridge_ensure(struct helper *h, struct call *call);
int run_tap_create(struct helper *h, struct call *call);
int run_tap_delete(struct helper *h, struct call *call);
int run_nat(struct helper *h, struct call *call);
int run_dns_route(struct helper *h, struct call *call);
int run_dns_clear(struct helper *h, struct call *call);

int run_cgroup_create(struct helper *h, struct call *call);
int run_cgroup_remove(struct helper *h, struct call *call);
int run_vm_launch(struct helper *h, struct call *call);
int run_jail_remove(struct helper *h, struct call *call);

/* Writes a control file of a cgroup's folder: 0 or -errno. */
int cgroup_write(int dir_fd, const char *file, const char *text) MUST_USE;

/* --- the packet filter (nft.c) --- */

/* For "nft -f -": tables, sets and rules. What the sets hold is left as it is. The limit of
 * connections is apart, for kernels without it. */
extern const char nft_rules[];
extern const char nft_limit[];
/* A guest's NFT_GUEST_ELEMENTS; `flags` of enum helper_tap_flags. */
void nft_guest(const struct config *config, const char *tap, uint32_t address, bool on,
	       unsigned int flags, struct nft_element *ret);
/* Finds out what the kernel lacks, without changing anything. */
void rules_try(struct helper *h);
/* Where somebody has flushed the tables that this helper made: they are made anew, without guests.
 */
void rules_mend(struct helper *h);
/* The address that a kernel makes of a hardware address (RFC 4291, appendix A). */
void link_local(const uint8_t mac[6], uint8_t ret[16]);

/* A file of /proc/<pid>, with a NUL behind it; its length or -errno, for one that does not fit too.
 */
ssize_t read_proc(const struct helper *h, pid_t pid, const char *name, char *buf, size_t size);

/* --- the kernel's network (netlink.c): what `struct sys` says of bridge, elements, tap and
 * link_delete; `n` of elements is NFT_GUEST_ELEMENTS at most --- */

int netlink_bridge(const struct config *config);
int netlink_elements(const struct nft_element *elements, size_t n);
int netlink_tap(const char *name, unsigned int flags, uid_t owner);
int netlink_link_delete(const char *name);

/* A descriptor that becomes readable when the packet filter changes. */
int netlink_watch(void) MUST_USE;
/* Reads what there is: true when it may be that a table went. */
bool netlink_table_gone(int watch_fd);

/* --- stages of main --- */

/* Capabilities down to HELPER_CAPABILITIES, no new privileges, system call filter. -errno. */
int confine(void) MUST_USE;

/* The listening socket at config->socket: 0600, the owner's. -errno. */
int server_listen(const struct config *config) MUST_USE;
/* Serves until SIGTERM or SIGINT comes to `signal_fd`. -errno. */
int server_run(struct helper *h, int listen_fd, int signal_fd) MUST_USE;
/* Reads, checks and answers one datagram of a connection. 0, or -errno: the connection is to end.
 */
int server_receive(struct helper *h, int fd);
/* True when the kernel says that the peer is root or the owner. */
bool peer_ok(const struct config *config, int fd);
