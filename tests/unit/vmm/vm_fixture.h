/* SPDX-License-Identifier: Apache-2.0 */
/* A VM of the tiny guest in a folder of its own, and what tests of drivers do with it. */
#pragma once

#include "lib/proc/proc.h"
#include "server/vmm/vmm.h"

struct vm_fixture {
	char dir[64];
	char kernel[96];
	struct vmm_config config;
	struct vmm_wait wait;
};

/* Makes the folder, the kernel (see tiny_guest_write() for `spins`) and a configuration with 64
 * MiB; waits end after 60 s. */
void vm_fixture_init(struct vm_fixture *f, uint32_t spins);
void vm_fixture_done(struct vm_fixture *f);

/* A further run folder below the fixture's, as the configuration of a second VM. */
struct vmm_config vm_fixture_sibling(const struct vm_fixture *f, char *dir, size_t size);

/* Reads from the console until `n` letters of the tiny guest have come. */
void read_letters(int fd, char *buf, size_t n);
/* Asserts that `letters` go on one after the other. */
void assert_in_sequence(const char *letters, size_t n);
