/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that outlive their clients: each has a row, a log of its output (exec_log.h), and while
 * its VM runs a handle to the guest. They go on through a restart of the server and a suspension of
 * the VM; a VM that ends takes them along ("lost"). All on the loop's thread.
 */
#pragma once

#include "server/store/execs.h"
#include "server/vm/vm.h"

enum {
	VM_EXECS_MAX = 256,          /* of one VM, ended ones included … */
	VM_EXECS_ENDED_MAX = 64,     /* … of which the newest are kept */
	VM_EXEC_INPUT_MAX = 1 << 20, /* bytes of input that can be given at the start */
	VM_EXEC_UNSEEN_S = 300,
};

struct vm_exec;
struct vm_exec_watch;

enum vm_exec_news {
	VM_EXEC_CHANGED,  /* it has started, written something, or ended */
	VM_EXEC_WRITABLE, /* takes input again */
	VM_EXEC_GONE,     /* the last call: deleted, with its VM perhaps */
};

typedef void vm_exec_fn(void *data, enum vm_exec_news news);

struct vm_exec_spec {
	const char *id; /* NULL: a new one */
	struct guest_exec_spec guest;
	const char *input; /* given to its standard input, which then ends unless it is to stay open
			      (guest.stdin_open); NULL: none */
	bool temporary;    /* ended and forgotten when nobody has watched it for VM_EXEC_UNSEEN_S */
};

/* Starts one; `ret_exec` is "starting" until the guest has said that it runs. */
int vm_exec_start(struct vm *vm, const struct vm_exec_spec *spec, const char *who,
		  struct vm_exec **ret_exec, struct error *err) MUST_USE;
int vm_exec_get(struct vm *vm, const char *id, struct vm_exec **ret_exec,
		struct error *err) MUST_USE;
/* Newest first: the first one (`after` NULL), or the one behind `after`. */
struct vm_exec *vm_exec_next(struct vm *vm, struct vm_exec *after);

const struct exec_row *vm_exec_row(const struct vm_exec *exec);
bool vm_exec_starting(const struct vm_exec *exec);
bool vm_exec_ended(const struct vm_exec *exec);
/* Why it failed or was lost; only then. */
const struct error *vm_exec_error(const struct vm_exec *exec);
/* The API's view; new reference. */
json_t *vm_exec_to_json(struct vm_exec *exec);

/* Kills it if it runs, and forgets all of it. */
void vm_exec_delete(struct vm_exec *exec);

/* ERR_STATE unless it runs. */
int vm_exec_check_runs(const struct vm_exec *exec, struct error *err) MUST_USE;
/* How many bytes were taken; with less than all, VM_EXEC_WRITABLE comes later. */
size_t vm_exec_write(struct vm_exec *exec, const void *bytes, size_t len);
void vm_exec_close_stdin(struct vm_exec *exec);
void vm_exec_resize(struct vm_exec *exec, uint16_t rows, uint16_t cols);
void vm_exec_signal(struct vm_exec *exec, int sig);

/* Output that is kept: offsets of its first byte and behind its last. */
uint64_t vm_exec_base(struct vm_exec *exec);
uint64_t vm_exec_end(struct vm_exec *exec);
/* As exec_log_read(). Only while it is watched. */
ssize_t vm_exec_read(struct vm_exec *exec, uint64_t offset, void *to, size_t max,
		     bool *ret_is_stderr) MUST_USE;

/* NULL when out of memory. */
struct vm_exec_watch *vm_exec_watch(struct vm_exec *exec, vm_exec_fn *fn, void *data);
/* NULL is fine; not after VM_EXEC_GONE. */
void vm_exec_unwatch(struct vm_exec_watch *watch);
