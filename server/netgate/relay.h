/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between a VMM and passt: frames one way are filtered, bytes the other way are not. */
#pragma once

/*
 * Runs until either side closes or breaks the rules. Descriptors are borrowed and become
 * non-blocking. Uses static buffers: one relay a process. Makes no system calls but ppoll, read and
 * write once it runs.
 */
void relay_run(int vmm_fd, int passt_fd);
