/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership that can be seen at the declaration. An owning local is declared with one of the words
 * below, is initialised there, and is handed over with TAKE_PTR() or take_fd(). All clean-up
 * functions accept the empty value (NULL, -1) and keep errno.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

static inline void free_p(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

/* close(2) is never retried: on Linux the descriptor is gone even after EINTR. */
static inline void close_keep_errno(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}

static inline void close_p(const int *fd)
{
	close_keep_errno(*fd);
}

static inline void fclose_p(FILE **f)
{
	int saved = errno;

	if (*f)
		(void)fclose(*f);
	errno = saved;
}

#define autofree   CLEANUP(free_p)
#define autoclose  CLEANUP(close_p)
#define autofclose CLEANUP(fclose_p)

/* Hands the pointer over: evaluates to its value and leaves NULL behind. */
#define TAKE_PTR(p)                            \
	({                                     \
		__typeof__(p) take_ptr_ = (p); \
		(p) = NULL;                    \
		take_ptr_;                     \
	})

/* Hands the descriptor over: returns it and leaves -1 behind. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}
