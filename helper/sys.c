/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls and programs of `struct sys` on a real host. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/helper.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"

enum { RUN_TIMEOUT_MS = 10 * 1000, MESSAGE_MAX = 1024 };

static int linux_pidfd_open(void *data, pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	(void)data;
	return fd < 0 ? -errno : fd;
}

static int linux_pidfd_signal(void *data, int pidfd, int sig)
{
	(void)data;
	return pidfd_send_signal(pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int linux_lstat(void *data, const char *path, struct stat *ret_st)
{
	(void)data;
	return lstat(path, ret_st) < 0 ? -errno : 0;
}

static int linux_run(void *data, const char *const *argv, const char *input)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct proc_result result;
	struct error err = ERROR_INIT;
	int r;

	(void)data;
	spec.argv = argv;
	run.input = input;
	run.input_len = input ? strlen(input) : 0;
	run.timeout_ms = RUN_TIMEOUT_MS;
	r = proc_run(&spec, &run, &result, &err);
	if (r < 0) {
		log_fields(LOG_WARN, "program failed", "error", err.msg, NULL);
		return r;
	}
	if (result.status != 0) {
		log_fields(LOG_WARN, "program failed", "program", argv[0], "says", result.err,
			   NULL);
		r = -EIO;
	}
	proc_result_done(&result);
	return r;
}

static int linux_spawn(void *data, const char *const *argv, int out_fd, struct proc *ret_proc)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;

	(void)data;
	spec.argv = argv;
	spec.stdout_fd = out_fd;
	spec.stderr_fd = out_fd;
	spec.new_session = true;
	return proc_spawn(&spec, ret_proc, &err);
}

static struct ifreq request_for(const char *name)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, strnlen(name, sizeof(ifr.ifr_name) - 1));
	return ifr;
}

static int set_address(int sock, unsigned long request, uint32_t address)
{
	struct ifreq ifr = request_for(HELPER_BRIDGE);
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(address) };

	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	return ioctl(sock, request, &ifr) < 0 ? -errno : 0;
}

/* Sends one request and waits for its acknowledgement. */
static int netlink(struct nlmsghdr *head, size_t size)
{
	autoclose int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	union {
		struct nlmsghdr head;
		char bytes[MESSAGE_MAX];
	} reply;
	struct nlmsgerr e;
	ssize_t n;

	if (sock < 0)
		return -errno;
	head->nlmsg_len = (uint32_t)size;
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (send(sock, head, size, 0) < 0)
		return -errno;
	n = recv(sock, &reply, sizeof(reply), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(reply.head) + sizeof(e) || reply.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	memcpy(&e, NLMSG_DATA(&reply.head), sizeof(e));
	return e.error;
}

struct address_request {
	struct nlmsghdr head;
	struct ifaddrmsg info;
	struct rtattr local;
	uint8_t address[16];
	struct rtattr flags;
	uint32_t value;
};

/* A host without IPv6 is fine. */
static int add_address6(int ifindex, const uint8_t address[16])
{
	struct address_request req = {
		.head.nlmsg_type = RTM_NEWADDR,
		.info = { .ifa_family = AF_INET6,
			  .ifa_prefixlen = 64,
			  .ifa_index = (unsigned int)ifindex },
		.local = { .rta_len = RTA_LENGTH(sizeof(req.address)), .rta_type = IFA_LOCAL },
		.flags = { .rta_len = RTA_LENGTH(sizeof(req.value)), .rta_type = IFA_FLAGS },
		.value = IFA_F_NODAD,
	};
	int r;

	memcpy(req.address, address, sizeof(req.address));
	r = netlink(&req.head, sizeof(req));
	return r == -EEXIST || r == -EACCES || r == -EOPNOTSUPP ? 0 : r;
}

/*
 * The gateway's address, and the link-local one that the kernel would make of the hardware address
 * (RFC 4291, appendix A), without which it asks for no neighbour. Nobody else can have them: a
 * detection of duplicates (RFC 4862, 5.4) would keep the first guest waiting for seconds.
 */
static int set_addresses6(const struct config *config, const uint8_t mac[6])
{
	int ifindex = (int)if_nametoindex(HELPER_BRIDGE);
	uint8_t address[16] = { 0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2],
				0xff, 0xfe, mac[3],           mac[4], mac[5] };
	uint32_t gateway = htonl(config->subnet + 1);
	int r = add_address6(ifindex, address);

	memcpy(address, config->ula, sizeof(config->ula));
	memcpy(address + 12, &gateway, sizeof(gateway));
	return r < 0 ? r : add_address6(ifindex, address);
}

static int set_up(int sock, const char *name)
{
	struct ifreq ifr = request_for(name);

	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return -errno;
	if (ifr.ifr_flags & IFF_UP)
		return 0;
	ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &ifr) < 0 ? -errno : 0;
}

/*
 * The hardware address is set, so that it does not change with the ports; the IPv4 address before
 * the interface is up, so that no route of the address's class appears.
 */
static int linux_bridge(void *data, const struct config *config)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = request_for(HELPER_BRIDGE);
	uint32_t gateway = config->subnet + 1;
	uint8_t mac[6] = { 2, 'b' };
	int r;

	(void)data;
	if (sock < 0)
		return -errno;
	if (ioctl(sock, SIOCBRADDBR, HELPER_BRIDGE) < 0 && errno != EEXIST)
		return -errno;
	memcpy(mac + 2, &(uint32_t){ htonl(gateway) }, 4);
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, sizeof(mac));
	if (ioctl(sock, SIOCSIFHWADDR, &ifr) < 0)
		return -errno;
	r = set_address(sock, SIOCSIFADDR, gateway);
	if (r == 0)
		r = set_address(sock, SIOCSIFNETMASK, ~(UINT32_MAX >> config->prefix));
	if (r == 0)
		r = set_addresses6(config, mac);
	return r < 0 ? r : set_up(sock, HELPER_BRIDGE);
}

static int linux_link_exists(void *data, const char *name)
{
	(void)data;
	return if_nametoindex(name) != 0;
}

struct link_request {
	struct nlmsghdr head;
	struct ifinfomsg info;
	struct rtattr outer;
	struct rtattr inner;
	uint8_t value;
	uint8_t pad[3];
};

/* An isolated port of a bridge exchanges frames with the bridge only, not with other such ports. */
static int isolate(unsigned int ifindex)
{
	struct link_request req = {
		.head.nlmsg_type = RTM_SETLINK,
		.info = { .ifi_family = AF_BRIDGE, .ifi_index = (int)ifindex },
		.outer = { .rta_len = sizeof(req) - offsetof(struct link_request, outer),
			   .rta_type = IFLA_PROTINFO | NLA_F_NESTED },
		.inner = { .rta_len = RTA_LENGTH(1), .rta_type = IFLA_BRPORT_ISOLATED },
		.value = 1,
	};

	return netlink(&req.head, sizeof(req));
}

static int linux_link_delete(void *data, const char *name)
{
	unsigned int ifindex = if_nametoindex(name);
	struct link_request req = {
		.head.nlmsg_type = RTM_DELLINK,
		.info = { .ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex },
	};
	int r;

	(void)data;
	if (ifindex == 0)
		return 0;
	r = netlink(&req.head, offsetof(struct link_request, outer));
	return r == -ENODEV ? 0 : r;
}

static int linux_tap(void *data, const char *name, unsigned int flags, uid_t owner)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	autoclose int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = request_for(name);
	struct ifreq port = request_for(HELPER_BRIDGE);
	unsigned int ifindex;
	int r;

	(void)data;
	if (sock < 0 || tap < 0)
		return -errno;
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
	if (ioctl(tap, TUNSETIFF, &ifr) < 0)
		return -errno;
	ifindex = if_nametoindex(name);
	port.ifr_ifindex = (int)ifindex;
	if (ioctl(sock, SIOCBRADDIF, &port) < 0)
		return -errno;
	if (!(flags & HELPER_TAP_OPEN)) {
		r = isolate(ifindex);
		if (r < 0)
			return r;
	}
	r = set_up(sock, name);
	if (r < 0)
		return r;
	if ((flags & HELPER_TAP_PERSIST) &&
	    (ioctl(tap, TUNSETOWNER, (unsigned long)owner) < 0 || ioctl(tap, TUNSETPERSIST, 1) < 0))
		return -errno;
	return take_fd(&tap);
}

const struct sys sys_linux = {
	.pidfd_open = linux_pidfd_open,
	.pidfd_signal = linux_pidfd_signal,
	.lstat = linux_lstat,
	.run = linux_run,
	.spawn = linux_spawn,
	.bridge = linux_bridge,
	.link_exists = linux_link_exists,
	.tap = linux_tap,
	.link_delete = linux_link_delete,
};
