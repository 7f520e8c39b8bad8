/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest has sent and received, in a file that the gate maps and others read. */
#pragma once

#include <stdint.h>

/* As the guest sees it; frames, without what the gate has taken out. Each number is stored whole.
 */
struct net_counters {
	uint64_t rx_bytes;
	uint64_t rx_packets;
	uint64_t tx_bytes;
	uint64_t tx_packets;
};
