/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest has sent and received, in a file that the gate maps and others read. Whoever started
 * the gate has locked the file (flock(2)) through the descriptor that it was given: as long as it
 * lives, nobody else gets the lock.
 */
#pragma once

#include <stdint.h>

/* As the guest sees it; frames, without what the gate has taken out. Each number is stored whole.
 */
struct net_counters {
	uint64_t rx_bytes;
	uint64_t rx_packets;
	uint64_t tx_bytes;
	uint64_t tx_packets;
	uint64_t gate; /* its process number */
};
