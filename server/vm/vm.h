/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual machines: their states, and the verbs that lead from one to another.
 *
 * The loop's thread owns every VM. A verb checks what it can, writes what is wanted to the store,
 * and starts an operation on the VM's own queue; the operation's body runs on a worker and comes
 * back to the loop for every look at the VM. A VM lives until its delete operation has removed
 * every resource; only then its row goes.
 */
#pragma once

#include <jansson.h>

#include "server/catalog/catalog.h"
#include "server/events/events.h"
#include "server/guest/guest.h"
#include "server/net/helper.h"
#include "server/ops/op.h"
#include "server/store/vms.h"
#include "server/vm/console.h"
#include "server/vmm/vmm.h"

enum vm_state {
	VM_CREATED,  /* has a row, was never started */
	VM_STARTING, /* transient */
	VM_RUNNING,
	VM_PAUSED,
	VM_STOPPING, /* transient */
	VM_STOPPED,
	VM_SUSPENDED, /* memory on disk */
	VM_FAILED,
	VM_DELETING, /* transient, the last */
	VM_STATE_MAX_,
};

enum vm_verb {
	VM_VERB_START,
	VM_VERB_STOP,
	VM_VERB_RESTART,
	VM_VERB_KILL,
	VM_VERB_PAUSE,
	VM_VERB_RESUME,
	VM_VERB_DELETE,
	VM_VERB_EXEC,
	VM_VERB_SNAPSHOT,
	VM_VERB_FORK,
	VM_VERB_SUSPEND,
	VM_VERB_RESTORE,
	VM_VERB_RECOVER,
	VM_VERB_MAX_,
};

const char *vm_state_name(enum vm_state state);
const char *vm_verb_name(enum vm_verb verb);
/* ERR_STATE naming the state and the verbs that it allows, unless `verb` is one of them. */
int vm_state_allows(enum vm_state state, enum vm_verb verb, const char *name,
		    struct error *err) MUST_USE;
/* True where the table lets `from` go over to `to`. */
bool vm_state_may_follow(enum vm_state from, enum vm_state to);

struct vms;
struct vm;
struct templates;
struct snapshot;
struct snapshots;

/* What guests get of this host's files: see host_files.h. */
struct file_sync;
struct vm_host_files {
	const char *home;   /* the owner's */
	const char *keys;   /* file of public keys; NULL: none */
	bool keys_are_ours; /* it need not be there */
	bool git;
	const struct file_sync *sync;
	size_t n_sync;
	bool beneath_home; /* nothing from elsewhere */
};

/* All borrowed for the life of `struct vms`. */
struct vms_config {
	struct loop *loop;
	struct ops *ops;
	struct store *store;
	struct events *events;
	struct catalog *catalog;
	const struct image_paths *paths;
	const char *state_dir;   /* absolute: <state> */
	const char *runtime_dir; /* absolute: <runtime> */
	const char *cache_dir;
	const struct vmm_driver *driver; /* for new starts; NULL: none usable */
	enum vmm_accel accel;
	uint64_t host_memory_mib;
	unsigned int max_vms;
	uint32_t vcpus; /* of a VM that names none; likewise the next two */
	uint32_t memory_mib;
	uint32_t disk_mib;
	uint32_t overcommit_percent; /* of the host's memory that may be promised */
	uint32_t clock_s;            /* how often guests' clocks are looked at */
	uint32_t check_s;            /* how often rows are held against truth */
	uint64_t disk_reserve_mib;   /* room that must stay on the host's disk */
	const char *vmm_version;
	const char
		*default_network; /* of VMs that name none: "user", or "none" where it can't be */
	struct helper_client helper; /* for VMs on the bridge, and jails */
	const char *jail_dir;        /* of the helper; NULL: no jails */
	const char *cgroup_dir;      /* delegated to the server; NULL: none */
	struct vm_host_files host_files;
	uint16_t dns_port; /* where <name>.vm is answered; 0: nowhere; vms_without_dns() */
	struct snapshots *snapshots; /* see vms_set_snapshots() */
	struct templates *templates; /* NULL: every boot is cold; see vms_set_templates() */
};

/*
 * Reads the rows and makes them true again: running VMs are adopted, the remains of dead ones
 * cleaned up, what was interrupted is ended or taken up again.
 */
int vms_new(const struct vms_config *config, struct vms **ret_vms, struct error *err) MUST_USE;
/* Lets go of everything; VMs that run go on. */
void vms_free(struct vms *vms);

/* Templates need the VMs, and VMs the templates: these are told later. NULL takes them away. */
void vms_set_templates(struct vms *vms, struct templates *templates);
void vms_set_snapshots(struct vms *vms, struct snapshots *snapshots);
/* The port could not be had: the system's resolver is not sent to whoever has it. */
void vms_without_dns(struct vms *vms);
/* The end for good: what the system's resolver was told is taken back, as anybody may have the port
 * next. Blocks up to the deadline. */
void vms_forget_names(const struct vms *vms, int deadline_ms);

/* By id or name; NULL when there is none. */
struct vm *vms_find(struct vms *vms, const char *ref);
/* The same with ERR_NOT_FOUND. */
int vms_get(struct vms *vms, const char *ref, struct vm **ret_vm, struct error *err) MUST_USE;
/* In the order of their creation, which that of their ids need not be: the VM behind `after`, or
 * the first (NULL); NULL behind the last. */
struct vm *vms_next(struct vms *vms, const struct vm *after);
size_t vms_count(const struct vms *vms);
/* The same number as before: what vm_to_json() says of every VM is as it was, except for those
 * with vm_is_changing(). */
uint64_t vms_version(const struct vms *vms);
/* Memory of the VMs that have or are about to have a process, and how much that may be. */
uint64_t vms_memory_promised_mib(const struct vms *vms);
uint64_t vms_memory_limit_mib(const struct vms *vms);
/* Room for an ordinary user where the VMs' disks are. */
int vms_disk_free_mib(const struct vms *vms, uint64_t *ret_mib) MUST_USE;

/* --- one VM --- */

const struct vm_row *vm_row(const struct vm *vm);
enum vm_state vm_get_state(const struct vm *vm);
/* NULL unless the VM has a process. */
struct guest *vm_guest(struct vm *vm);
/* Something works on it or waits to. */
bool vm_has_operation(const struct vm *vm);
/* That, or the last there was; borrowed, may be NULL. */
struct op *vm_last_operation(const struct vm *vm);
/* The API's view; new reference. */
json_t *vm_to_json(struct vm *vm);
/* Its view changes from one moment to the next, without vms_version() telling. */
bool vm_is_changing(const struct vm *vm);
/* Someone works in it: resets the idle clock. */
void vm_touch(struct vm *vm);

struct vm_spec {
	const char *id;     /* NULL: that of vm_ready_id(), or a new one */
	const char *name;   /* NULL: chosen here */
	const char *image;  /* NULL: the default */
	const char *kernel; /* NULL: the default */
	uint32_t vcpus;     /* 0: default; likewise the next two */
	uint32_t memory_mib;
	uint32_t disk_mib;
	const json_t *labels; /* borrowed; may be NULL */
	const char *network;  /* NULL: the default */
	bool nat;
	bool open;            /* on the bridge: to others that are open */
	uint32_t ttl_s;       /* 0: none */
	uint32_t idle_stop_s; /* 0: never; likewise the next */
	uint32_t idle_suspend_s;
	const char *wake; /* "auto", "never"; NULL: auto */
	const char *init;
	bool start;
	const char *boot; /* "auto", "cold", "template"; NULL: auto */

	/* NULL, or what to make it from: image, kernel and sizes are then the snapshot's. */
	struct snapshot *source;
	bool disk_only; /* of the source */
};

/* What a VM of this request would be: image, kernel, sizes, network and init of the row. */
int vm_shape(struct vms *vms, const struct vm_spec *spec, struct vm_row *ret_row,
	     struct error *err) MUST_USE;
/* The id of a VM that is kept ready for such a request: with it the request gets that one, for as
 * long as the loop's thread does nothing else. NULL: there is none. */
const char *vm_ready_id(struct vms *vms, const struct vm_spec *spec);
/* Makes the row and, if asked, starts. *ret_op is NULL when nothing is left to do. */
int vm_create(struct vms *vms, const struct vm_spec *spec, const char *who, struct vm **ret_vm,
	      struct op **ret_op, struct error *err) MUST_USE;
int vm_start(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* True of a VM that is suspended, or that is just going on with its memory. */
bool vm_sleeps(const struct vm *vm);
/* The start of a VM that sleeps: the one that is under way, or a new one. */
int vm_wake(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* Asks the guest, then kills. */
int vm_stop(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
int vm_restart(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
/*
 * Now; overtakes and cancels what is under way. `signo` other than SIGKILL gives the VMM some
 * seconds to end by that signal before it is killed.
 */
int vm_kill_by(struct vm *vm, int signo, const char *who, struct op **ret_op,
	       struct error *err) MUST_USE;
/* The same by SIGKILL. */
int vm_kill(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
int vm_pause(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
int vm_resume(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;
/* Overtakes and cancels what is under way; the VM is gone when the operation has ended. */
int vm_delete(struct vm *vm, const char *who, struct op **ret_op, struct error *err) MUST_USE;

/* --- console --- */

/* What the log holds, oldest first; the caller frees. */
int vm_console_log(struct vm *vm, char **ret_data, size_t *ret_len, struct error *err) MUST_USE;
/* NULL unless the VM has a process. */
struct console *vm_console(struct vm *vm);
