/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network side of a QEMU guest. QEMU's own user network lets a guest reach every service on
 * the host's loopback, so it is not used. A guest that may go out gets passt, with banger-netgate
 * in between: passt maps no gateway to the host, but old versions connect to 127.0.0.1 for a packet
 * that is addressed so. Both end with the VMM. `nat: false`, or a host that has no default route,
 * gives a device that leads nowhere.
 */
#pragma once

#include "lib/base/error.h"
#include "server/vmm/qemu_args.h"
#include "server/vmm/vmm.h"

/* *ret_fd is the caller's: what QEMU gets as QEMU_FD_NET, or -1. */
int qemu_net_open(const struct vmm_config *config, const struct vmm_wait *wait,
		  enum qemu_net *ret_net, int *ret_fd, struct error *err) MUST_USE;

/*
 * What driver->renew_user_net and driver->watch_user_net do (vmm.h). The guest's device hangs on a
 * hub, so that another network can take the place of the one that has ended.
 */
int qemu_net_renew(const struct vmm_config *config, const struct vmm_wait *wait,
		   struct error *err) MUST_USE;
/* driver->join_net: on the same hub. */
int qemu_net_join(const struct vmm_config *config, const struct vmm_wait *wait,
		  struct error *err) MUST_USE;
int qemu_net_watch(const struct vmm_config *config) MUST_USE;

/*
 * Starts passt for a moment. It makes a sandbox of its own for itself, which a container, a chroot
 * or a hardened kernel may refuse.
 */
int qemu_net_probe(const struct vmm_wait *wait, struct error *err) MUST_USE;

/* Pure: whether the text of /proc/net/route has a default route. */
bool route_has_default(const char *routes);
