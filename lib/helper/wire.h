/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels between banger-server and banger-helper, and what both know by heart.
 *
 * A SOCK_SEQPACKET socket; one request is one datagram: `struct helper_head` and the body of its
 * operation, of exactly the size below. One reply is one datagram: `struct helper_reply` and, when
 * `result` is 0, the reply body of the operation. Numbers are in host order; unused bytes are 0 and
 * checked. There is nothing to parse: no length that is not fixed by the operation, no path and no
 * command. Descriptors travel by SCM_RIGHTS.
 *
 * A datagram that breaks these rules ends the connection without a reply; a well-formed request
 * that is refused gets -errno and a reason.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define HELPER_UNIT           "banger-helper.service"
#define HELPER_RUN_DIR        "/run/banger-helper"
#define HELPER_SOCKET         HELPER_RUN_DIR "/helper.sock"
#define HELPER_JAIL_DIR       "/var/lib/banger/jail"
#define HELPER_INSTALL_RECORD "/etc/banger/install.toml"
#define HELPER_BRIDGE         "br-banger"

/* The helper's whole bounding set; docs/privileges.md says what needs each. */
#define HELPER_CAPABILITIES                                                                  \
	"cap_chown cap_dac_override cap_fowner cap_kill cap_mknod cap_net_admin cap_setgid " \
	"cap_setuid cap_sys_admin"

enum {
	HELPER_MAGIC = 0x48474e42, /* "BNGH" */
	HELPER_VERSION = 1,
	HELPER_ID_LEN = 16, /* of VM and operation ids: lib/base/id.h */
	HELPER_BODY_MAX = 64,
	HELPER_REPLY_BODY_MAX = 64,
};

enum helper_op {
	HELPER_STATUS,
	HELPER_BRIDGE_ENSURE,
	HELPER_TAP_CREATE,
	HELPER_TAP_DELETE,
	HELPER_NAT_ENSURE,
	HELPER_NAT_REMOVE,
	HELPER_DNS_ROUTE,
	HELPER_DNS_CLEAR,
	HELPER_CGROUP_CREATE,
	HELPER_CGROUP_REMOVE,
	HELPER_VM_LAUNCH,
	HELPER_JAIL_REMOVE,
	HELPER_PROCESS_SIGNAL,
	HELPER_PROCESS_KILL,
	HELPER_OP_MAX_,
};

/* Why a request was refused or failed; helper_reason_text() has a sentence for each. */
enum helper_reason {
	HELPER_OK,
	HELPER_BAD_VM_ID,
	HELPER_BAD_ADDRESS,   /* not one of the guest addresses of the bridge */
	HELPER_BAD_FLAGS,     /* unknown flag or a byte that should be 0 */
	HELPER_BAD_LIMIT,     /* a limit out of range */
	HELPER_BAD_PORT,      /* below 1024 */
	HELPER_BAD_FD,        /* not a pipe */
	HELPER_BAD_SIGNAL,    /* not one of the signals that may be sent */
	HELPER_BAD_PID,       /* 0, 1, negative, or the helper itself */
	HELPER_NOT_OURS,      /* no proof that the process is banger's */
	HELPER_GONE,          /* no such process */
	HELPER_NO_BRIDGE,     /* bridge.ensure first */
	HELPER_BINARY,        /* a program is missing, or not safe to run as root */
	HELPER_BUSY,          /* still in use, or already there */
	HELPER_NO_FORWARDING, /* net.ipv4.ip_forward is off */
	HELPER_HOST,          /* the kernel or a program refused: see the errno and the log */
	HELPER_REASON_MAX_,
};

struct helper_head {
	uint32_t magic;
	uint16_t version;
	uint16_t op;     /* enum helper_op */
	uint32_t length; /* bytes of the body */
	uint32_t zero;
	char op_id[HELPER_ID_LEN]; /* operation id for the log; all NUL: none */
};
static_assert(sizeof(struct helper_head) == 32, "wire size");

struct helper_reply {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	int32_t result;  /* 0 or -errno */
	uint32_t reason; /* enum helper_reason */
	uint32_t length; /* bytes of the body that follows */
	uint32_t zero;
	char op_id[HELPER_ID_LEN];
};
static_assert(sizeof(struct helper_reply) == 40, "wire size");

/* What the kernel does not take of the packet filter. */
enum helper_lacks {
	HELPER_LACKS_FILTER = 1 << 0, /* the rules, so there is no bridge network */
	HELPER_LACKS_LIMIT = 1 << 1,  /* the limit of connections a guest */
};

/* status: no request body. */
struct helper_status_reply {
	char version[16]; /* of the program, NUL-padded */
	uint32_t lacks;   /* of enum helper_lacks */
	uint32_t zero;
};
static_assert(sizeof(struct helper_status_reply) == 24, "wire size");

/*
 * bridge.ensure: no request body: the subnet comes from the helper's own start, not from a caller.
 * The gateway has the first address.
 */
struct helper_bridge_reply {
	uint32_t subnet; /* IPv4, most significant byte first in the number: 10.0.0.0 = 0x0a000000
			  */
	uint32_t prefix; /* bits */
	uint8_t ula[16]; /* IPv6 prefix of 64 bits; the low 32 bits of a guest are its IPv4 address
			  */
};
static_assert(sizeof(struct helper_bridge_reply) == 24, "wire size");

enum helper_tap_flags {
	HELPER_TAP_OPEN = 1 << 0,    /* may talk to other guests that are open too */
	HELPER_TAP_PERSIST = 1 << 1, /* stays without an open descriptor: for a VMM that opens it by
					name */
	HELPER_TAP_NAT = 1 << 2,     /* nat.ensure in the same step */
};

/*
 * tap.create, tap.delete, nat.ensure, nat.remove; only the first has flags. Its reply has one
 * descriptor: the tap, with a virtio-net header.
 */
struct helper_net_request {
	char vm_id[HELPER_ID_LEN];
	uint32_t address; /* of the guest: its other addresses follow from it */
	uint32_t flags;   /* of enum helper_tap_flags */
};
static_assert(sizeof(struct helper_net_request) == 24, "wire size");

struct helper_tap_reply {
	char name[16]; /* of the interface, NUL-padded */
};
static_assert(sizeof(struct helper_tap_reply) == 16, "wire size");

/* dns.route; dns.clear has no body. */
struct helper_dns_request {
	uint16_t port; /* of the server's DNS on 127.0.0.1 */
	uint16_t zero[3];
};
static_assert(sizeof(struct helper_dns_request) == 8, "wire size");

/* cgroup.create; 0 is "no limit of its own". */
struct helper_cgroup_request {
	char vm_id[HELPER_ID_LEN];
	uint64_t memory_bytes;
	uint32_t cpu_percent; /* 100: one processor */
	uint32_t pids;
};
static_assert(sizeof(struct helper_cgroup_request) == 32, "wire size");

/* cgroup.remove, jail.remove, vm.launch. */
struct helper_vm_request {
	char vm_id[HELPER_ID_LEN];
};
static_assert(sizeof(struct helper_vm_request) == 16, "wire size");

/*
 * vm.launch: Firecracker in its jail, as the owner. The request may bring one descriptor, the
 * writing end of a pipe, which becomes its standard output and error. The reply has one: the pidfd.
 */
struct helper_launch_reply {
	int32_t pid;
	uint32_t zero;
};
static_assert(sizeof(struct helper_launch_reply) == 8, "wire size");

/* process.signal; process.kill leaves the name empty. */
struct helper_signal_request {
	int32_t pid;
	char signal[12]; /* "TERM" or "SIGTERM", any case, NUL-padded */
};
static_assert(sizeof(struct helper_signal_request) == 16, "wire size");

/* "tap.create"; "?" for a number that is none. */
const char *helper_op_name(unsigned int op);

/* Bytes of the request's and of the reply's body. */
size_t helper_request_size(enum helper_op op);
size_t helper_reply_size(enum helper_op op);

/* One sentence without full stop; "unknown reason" for a number that is none. */
const char *helper_reason_text(unsigned int reason);

/*
 * What is wrong with a program that root is to run, from its lstat(2): "is a symbolic link", "is
 * writable by group or others", …; NULL when nothing is.
 */
const char *helper_binary_problem(const struct stat *st);

/* The guest's hardware address: locally administered, made from its IPv4 address. */
void helper_guest_mac(uint32_t address, uint8_t ret_mac[6]);
/* The guest's IPv6 address: the prefix and, in its low 32 bits, the IPv4 address. */
void helper_guest_v6(const uint8_t ula[16], uint32_t address, uint8_t ret_v6[16]);
