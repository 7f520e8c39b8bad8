/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls and programs of `struct sys` on a real host. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/netlink.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"

enum { RUN_TIMEOUT_MS = 10 * 1000 };

static int linux_run(const char *const *argv, const char *input)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct proc_run run = PROC_RUN_INIT;
	struct error err = ERROR_INIT;
	int r;

	spec.argv = argv;
	run.input = input;
	run.input_len = input ? strlen(input) : 0;
	run.timeout_ms = RUN_TIMEOUT_MS;
	r = proc_run_ok(&spec, &run, &err);
	if (r < 0)
		log_fields(LOG_WARN, "program failed", "error", err.msg, NULL);
	return r;
}

static int linux_spawn(const char *const *argv, int out_fd, struct proc *ret_proc)
{
	struct proc_spec spec = PROC_SPEC_INIT;
	struct error err = ERROR_INIT;

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

/*
 * The gateway's address, and the link-local one that the kernel would make of the hardware address,
 * without which it asks for no neighbour. Nobody else can have them: a detection of duplicates (RFC
 * 4862, 5.4) would keep the first guest waiting for seconds.
 */
static int set_addresses6(const struct config *config, const uint8_t mac[6])
{
	unsigned int ifindex = if_nametoindex(HELPER_BRIDGE);
	uint8_t address[16];
	int r;

	link_local(mac, address);
	r = netlink_add_address6(ifindex, address);
	helper_guest_v6(config->ula, config->subnet + 1, address);
	return r < 0 ? r : netlink_add_address6(ifindex, address);
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
static int linux_bridge(const struct config *config)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = request_for(HELPER_BRIDGE);
	uint32_t gateway = config->subnet + 1;
	uint8_t mac[6];
	int r;

	if (sock < 0)
		return -errno;
	if (ioctl(sock, SIOCBRADDBR, HELPER_BRIDGE) < 0 && errno != EEXIST)
		return -errno;
	helper_guest_mac(gateway, mac);
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

static int linux_tap(const char *name, unsigned int flags, uid_t owner)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	autoclose int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	struct ifreq ifr = request_for(name);
	struct ifreq port = request_for(HELPER_BRIDGE);
	int r;

	if (sock < 0 || tap < 0)
		return -errno;
	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
	if (ioctl(tap, TUNSETIFF, &ifr) < 0)
		return -errno;
	port.ifr_ifindex = (int)if_nametoindex(name);
	if (ioctl(sock, SIOCBRADDIF, &port) < 0)
		return -errno;
	r = netlink_port((unsigned int)port.ifr_ifindex, !(flags & HELPER_TAP_OPEN));
	if (r == 0)
		r = set_up(sock, name);
	if (r < 0)
		return r;
	if ((flags & HELPER_TAP_PERSIST) &&
	    (ioctl(tap, TUNSETOWNER, (unsigned long)owner) < 0 || ioctl(tap, TUNSETPERSIST, 1) < 0))
		return -errno;
	return take_fd(&tap);
}

const struct sys sys_linux = {
	.pidfd_open = pidfd_open,
	.pidfd_send_signal = pidfd_send_signal,
	.lstat = lstat,
	.if_nametoindex = if_nametoindex,
	.run = linux_run,
	.spawn = linux_spawn,
	.bridge = linux_bridge,
	.elements = netlink_elements,
	.tap = linux_tap,
	.link_delete = netlink_link_delete,
};
