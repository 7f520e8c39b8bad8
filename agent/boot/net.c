/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/boot/boot.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ipv6.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/cleanup.h"
#include "lib/base/fs.h"
#include "lib/base/id.h"

enum { HOSTS_MAX = 64 * 1024, CONFIG_MAX = 1024, OVER_MAX = 4096, MTU_MIN = 576, MTU_MAX = 65535 };

/* --- host name --- */

/*
 * Writes over a small file that does not become shorter. One page, so no reader sees half of it;
 * without a new file, a rename and what the file system does for both, a clone under emulation is
 * ready a quarter sooner. False: the file has to be replaced.
 */
static bool write_over(const char *path, const void *data, size_t len)
{
	autoclose int fd = open(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && len <= OVER_MAX && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_nlink == 1 && (size_t)st.st_size <= len && write_all(fd, data, len) == 0;
}

/*
 * Replaces a file of /etc; a link in its place goes. Neither random numbers nor the disk are waited
 * for: this runs before the guest has either in plenty.
 */
static int write_etc(const char *name, const void *data, size_t len)
{
	char path[64];
	char temporary[80];
	autoclose int fd = -1;
	int r;

	(void)snprintf(path, sizeof(path), "/etc/%s", name);
	if (write_over(path, data, len))
		return 0;
	(void)snprintf(temporary, sizeof(temporary), "/etc/.%s.new", name);
	(void)mkdir("/etc", 0755);
	(void)unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_all(fd, data, len);
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	return r;
}

static bool names_us(const char *line, size_t len, const char *address)
{
	size_t n = strlen(address);

	return len > n && memcmp(line, address, n) == 0 && (line[n] == ' ' || line[n] == '\t');
}

/* /etc/hosts with our line for 127.0.1.1; the image's other lines stay. */
static int write_hosts(const char *name)
{
	CLEANUP(buf_done)
	struct buf out;
	autofree char *old = NULL;
	size_t len = 0;

	buf_init(&out, HOSTS_MAX + CONFIG_MAX);
	if (read_file("/etc/hosts", HOSTS_MAX, &old, &len) < 0 || len == 0) {
		free(old);
		old = strdup("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n");
		if (!old)
			return -ENOMEM;
	}
	for (const char *p = old; *p;) {
		size_t n = strcspn(p, "\n");

		if (!names_us(p, n, "127.0.1.1") && buf_printf(&out, "%.*s\n", (int)n, p) < 0)
			return -ENOMEM;
		p += n + (p[n] == '\n');
	}
	if (buf_printf(&out, "127.0.1.1\t%s\n", name) < 0)
		return -ENOMEM;
	return write_etc("hosts", buf_bytes(&out), buf_len(&out));
}

int boot_set_hostname(const char *name)
{
	char line[80];
	int n;
	int r;

	if (!dns_label_valid(name))
		return -EINVAL;
	if (sethostname(name, strlen(name)) < 0)
		return -errno;
	n = snprintf(line, sizeof(line), "%s\n", name);
	r = write_etc("hostname", line, (size_t)n);
	return r < 0 ? r : write_hosts(name);
}

/* --- the word banger.net --- */

static int parse_number(const char *s, unsigned int max, unsigned int *ret)
{
	unsigned int v = 0;

	if (*s == '\0' || strlen(s) > 5 || strspn(s, "0123456789") != strlen(s))
		return -EINVAL;
	for (; *s; s++)
		v = v * 10 + (unsigned int)(*s - '0');
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int parse_address(char *s, struct boot_net *net)
{
	char *slash = strchr(s, '/');

	if (!slash)
		return -EINVAL;
	*slash = '\0';
	if (inet_pton(AF_INET, s, &net->address) != 1)
		return -EINVAL;
	return parse_number(slash + 1, 32, &net->prefix);
}

static int parse_address6(const char *s, struct boot_net *net)
{
	char text[INET6_ADDRSTRLEN];
	const char *slash = strchr(s, '/');

	if (!slash || (size_t)(slash - s) >= sizeof(text))
		return -EINVAL;
	(void)snprintf(text, sizeof(text), "%.*s", (int)(slash - s), s);
	if (inet_pton(AF_INET6, text, &net->address6) != 1)
		return -EINVAL;
	return parse_number(slash + 1, 128, &net->prefix6);
}

static int parse_mac(const char *s, uint8_t mac[6])
{
	struct ether_addr address;

	if (strlen(s) != 17 || strspn(s, "0123456789abcdef:") != 17 || !ether_aton_r(s, &address))
		return -EINVAL;
	memcpy(mac, &address, sizeof(address));
	return 0;
}

static int parse_option(const char *s, struct boot_net *net)
{
	if (str_has_prefix(s, "mac="))
		return parse_mac(s + 4, net->mac);
	if (str_has_prefix(s, "ip6="))
		return parse_address6(s + 4, net);
	if (str_has_prefix(s, "gw6="))
		return inet_pton(AF_INET6, s + 4, &net->gateway6) == 1 ? 0 : -EINVAL;
	if (str_has_prefix(s, "gw="))
		return inet_pton(AF_INET, s + 3, &net->gateway) == 1 ? 0 : -EINVAL;
	if (str_has_prefix(s, "dns=") && net->n_dns < ARRAY_SIZE(net->dns))
		return inet_pton(AF_INET, s + 4, &net->dns[net->n_dns++]) == 1 ? 0 : -EINVAL;
	if (str_has_prefix(s, "mtu=")) {
		int r = parse_number(s + 4, MTU_MAX, &net->mtu);

		return r < 0 || net->mtu < MTU_MIN ? -EINVAL : 0;
	}
	if (str_has_prefix(s, "dev=") && s[4] && strlen(s + 4) < sizeof(net->dev) &&
	    !strchr(s, '/')) {
		memcpy(net->dev, s + 4, strlen(s + 4) + 1);
		return 0;
	}
	return -EINVAL;
}

int boot_net_parse(const char *word, struct boot_net *ret_net)
{
	autofree char *copy = strdup(word);
	char *save = NULL;
	char *part;
	int r;

	if (!copy)
		return -ENOMEM;
	*ret_net = (struct boot_net){ .prefix = 0 };
	part = strtok_r(copy, ",", &save);
	r = part ? parse_address(part, ret_net) : -EINVAL;
	while (r == 0 && (part = strtok_r(NULL, ",", &save)) != NULL)
		r = parse_option(part, ret_net);
	return r;
}

/* --- interfaces --- */

static struct ifreq request_for(const char *dev)
{
	struct ifreq req = { .ifr_flags = 0 };

	(void)snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", dev);
	return req;
}

static int set_flags(int sock, const char *dev, bool up)
{
	struct ifreq req = request_for(dev);

	if (ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags =
		(short)(up ? req.ifr_flags | IFF_UP | IFF_RUNNING : req.ifr_flags & ~IFF_UP);
	return ioctl(sock, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

static int set_flags_up(int sock, const char *dev)
{
	return set_flags(sock, dev, true);
}

/* Down and up again: what was configured under the other address goes. */
static int set_mac(int sock, const char *dev, const uint8_t mac[6])
{
	static const uint8_t none[6];
	struct ifreq req = request_for(dev);
	int r;

	if (memcmp(mac, none, sizeof(none)) == 0)
		return 0;
	if (ioctl(sock, SIOCGIFHWADDR, &req) < 0)
		return -errno;
	if (memcmp(req.ifr_hwaddr.sa_data, mac, sizeof(none)) == 0)
		return 0;
	r = set_flags(sock, dev, false);
	if (r < 0)
		return r;
	req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(req.ifr_hwaddr.sa_data, mac, sizeof(none));
	return ioctl(sock, SIOCSIFHWADDR, &req) < 0 ? -errno : 0;
}

int boot_loopback_up(void)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return sock < 0 ? -errno : set_flags_up(sock, "lo");
}

static void closedir_p(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static int first_interface(char name[IFNAMSIZ])
{
	CLEANUP(closedir_p)
	DIR *dir = opendir("/sys/class/net");
	const struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): one thread */
		char path[PATH_MAX];

		(void)snprintf(path, sizeof(path), "/sys/class/net/%s/device", e->d_name);
		if (e->d_name[0] == '.' || access(path, F_OK) < 0)
			continue;
		(void)snprintf(name, IFNAMSIZ, "%.15s", e->d_name);
		return 0;
	}
	return -ENODEV;
}

int boot_set_mac(const char *mac)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = { .ifr_flags = 0 };
	uint8_t address[6];
	char name[IFNAMSIZ];
	int r;

	if (sock < 0)
		return -errno;
	r = parse_mac(mac, address);
	if (r < 0)
		return r;
	r = first_interface(name);
	if (r < 0)
		return r;
	req = request_for(name);
	req.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(req.ifr_hwaddr.sa_data, address, sizeof(address));
	return ioctl(sock, SIOCSIFHWADDR, &req) < 0 ? -errno : 0;
}

static void put_address(struct sockaddr *to, struct in_addr address)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };

	memcpy(to, &in, sizeof(in));
}

static int set_addresses(int sock, const char *dev, const struct boot_net *net)
{
	struct in_addr mask = { .s_addr =
					net->prefix ? htonl(UINT32_MAX << (32 - net->prefix)) : 0 };
	struct ifreq req = request_for(dev);
	int r;

	if (net->mtu) {
		req.ifr_mtu = (int)net->mtu;
		if (ioctl(sock, SIOCSIFMTU, &req) < 0)
			return -errno;
	}
	r = set_flags_up(sock, dev);
	if (r < 0)
		return r;
	put_address(&req.ifr_addr, net->address);
	if (ioctl(sock, SIOCSIFADDR, &req) < 0)
		return -errno;
	put_address(&req.ifr_netmask, mask);
	return ioctl(sock, SIOCSIFNETMASK, &req) < 0 ? -errno : 0;
}

static int set_route(int sock, char *dev, struct in_addr gateway)
{
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = dev };
	struct in_addr any = { .s_addr = 0 };

	put_address(&route.rt_gateway, gateway);
	put_address(&route.rt_dst, any);
	put_address(&route.rt_genmask, any);
	if (ioctl(sock, SIOCADDRT, &route) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* The host gives each address once; without the wait for others that claim it, it works at once. */
static void trust_addresses(const char *dev)
{
	char path[64];
	autoclose int fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_dad", dev);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write_all(fd, "0", 1);
}

/* A kernel without IPv6 is fine. */
static int set_ipv6(const char *dev, const struct boot_net *net)
{
	struct in6_ifreq address = { .ifr6_addr = net->address6,
				     .ifr6_prefixlen = net->prefix6,
				     .ifr6_ifindex = (int)if_nametoindex(dev) };
	struct in6_rtmsg route = { .rtmsg_gateway = net->gateway6,
				   .rtmsg_flags = RTF_UP | RTF_GATEWAY,
				   .rtmsg_metric = 1024,
				   .rtmsg_ifindex = address.ifr6_ifindex };
	autoclose int sock = -1;

	if (IN6_IS_ADDR_UNSPECIFIED(&net->address6))
		return 0;
	sock = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return errno == EAFNOSUPPORT ? 0 : -errno;
	if (ioctl(sock, SIOCSIFADDR, &address) < 0 && errno != EEXIST)
		return errno == EACCES || errno == EOPNOTSUPP ? 0 : -errno;
	if (!IN6_IS_ADDR_UNSPECIFIED(&net->gateway6) && ioctl(sock, SIOCADDRT, &route) < 0 &&
	    errno != EEXIST)
		return -errno;
	return 0;
}

static int write_resolv(const struct boot_net *net)
{
	CLEANUP(buf_done)
	struct buf out;

	if (net->n_dns == 0)
		return 0;
	buf_init(&out, CONFIG_MAX);
	for (size_t i = 0; i < net->n_dns; i++) {
		char text[INET_ADDRSTRLEN];

		(void)inet_ntop(AF_INET, &net->dns[i], text, sizeof(text));
		if (buf_printf(&out, "nameserver %s\n", text) < 0)
			return -ENOMEM;
	}
	return write_etc("resolv.conf", buf_bytes(&out), buf_len(&out));
}

int boot_net_apply(const struct boot_net *net)
{
	autoclose int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char dev[IFNAMSIZ];
	int r = 0;

	if (sock < 0)
		return -errno;
	if (net->dev[0])
		memcpy(dev, net->dev, sizeof(dev));
	else
		r = first_interface(dev);
	if (r == 0)
		r = set_mac(sock, dev, net->mac);
	if (r == 0)
		trust_addresses(dev);
	if (r == 0)
		r = set_addresses(sock, dev, net);
	if (r == 0)
		r = set_ipv6(dev, net);
	if (r == 0 && net->gateway.s_addr)
		r = set_route(sock, dev, net->gateway);
	return r < 0 ? r : write_resolv(net);
}
