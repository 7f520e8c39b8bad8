/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this folder share; nobody else includes it. */
#pragma once

#include "server/net/address.h"
#include "server/vm/console.h"
#include "server/vm/history.h"
#include "server/vm/vm.h"

enum { BUCKETS = 1024 };

/* A VMM's configuration with the strings that it points to. */
struct vm_boot {
	struct vmm_config config;
	char *dir;     /* <state>/vms/<id> */
	char *run_dir; /* <runtime>/vm/<id> */
	char *rootfs;
	char *work;
	char *kernel;
	char *initrd;
	char *cmdline;
	char mac[18];
	char tap_name[16]; /* "" unless on the bridge */
	struct vmm_jail jail;
	char *jail_root;    /* NULL: no jail */
	char *cgroup_procs; /* NULL: no limits, or those of the helper */
};

/* What a check finds again and again, and tells once. */
enum vm_told {
	VM_TOLD_FOLDER = 1 << 0,  /* of its sockets is gone */
	VM_TOLD_LINK = 1 << 1,    /* the socket of its link is */
	VM_TOLD_MONITOR = 1 << 2, /* that of its monitor is */
	VM_TOLD_DISK = 1 << 3,    /* is gone while it runs */
	VM_TOLD_GUEST = 1 << 4,   /* runs or stands still against its row */
	VM_TOLD_LOST = 1 << 5,    /* its VMM was not watched */
	VM_TOLD_REST = 1 << 6,    /* what should not be there does not go */
	VM_TOLD_NET = 1 << 7,     /* its user-mode network has ended and has no other yet */
};

struct standby;
struct vm_exec;
struct vm_forward;
struct vm_probe;

struct vm {
	struct vms *vms;
	struct vm *next_by_id; /* in the bucket */
	struct vm *next_by_name;
	struct vm *prev; /* all, by age */
	struct vm *next;

	struct vm_row row;
	enum vm_state state;
	char stored[16];    /* the state that the store has */
	bool unsaved;       /* the store lacks what is known of state or process */
	unsigned int told;  /* of enum vm_told: what lasts and has been told */
	unsigned int tries; /* of the checks, to put the same thing right */
	unsigned int turn;  /* grows with each operation on it */
	/* That its guest runs, or stands still, as the row says; see vm_doubt(). */
	enum { VM_SURE, VM_UNSURE, VM_TOLD_AGAIN } doubt;
	struct vm_boot boot; /* paths; its VMM configuration is good while there is a process */

	struct proc proc;
	struct loop_fd *exit_source;
	int net_fd; /* readable once its user-mode network has ended; -1: not watched */
	struct loop_fd *net_source;
	bool net_ended;                  /* and the checks are to renew it */
	const struct vmm_driver *driver; /* of the process */
	struct standby *standby;         /* to begin with; NULL: none */
	struct guest *guest;
	struct console *console;
	struct vm_exec *execs; /* newest first */
	struct vm_forward *forwards;
	int wake_fd;      /* eventfd of a worker that waits for the agent or the end; -1: none */
	bool waking;      /* it starts with the memory that it was suspended with */
	bool being_ended; /* an operation ends the process and cleans up after it */
	bool asked_off;   /* its guest has been asked to end; it does so by a reboot */
	bool limited;     /* its process is in a cgroup of its own */
	bool agent_up;
	bool degraded;
	bool ended; /* since wake_fd was set: the process has ended */
	char end_reason[256];
	json_t *stages;          /* of the last start */
	struct op *op;           /* the latest, referenced */
	struct vm_probe *probe;  /* its VMM has been asked and has not answered yet */
	char reason_before[512]; /* its VMM hung */
	unsigned int clock_turn;
	int64_t clock_us;  /* when its clock was last looked at, monotonic */
	int64_t active_us; /* last activity, monotonic */
	struct loop_timer *ttl_timer;
	struct loop_timer *idle_timer;
	struct vm_hold *holds;
	struct stats_history *stats; /* NULL until it was measured once */
	int busy;                    /* commands, terminals and tunnels under way */
};

struct vms {
	struct vms_config c;
	struct vm *by_id[BUCKETS];
	struct vm *by_name[BUCKETS];
	struct vm *first;
	struct vm *last;
	size_t count;
	uint64_t untold; /* changes of views that left no row and no event; see vms_version() */
	struct loop_timer *check_timer;
	struct loop_timer *clock_timer;
	int64_t clock_apart_us;      /* the wall clock from the monotonic one, at the last look */
	struct vms_sampler *sampler; /* NULL until something is measured */
	int vms_fd;                  /* <state>/vms */
	int run_fd;                  /* <runtime>/vm */

	struct address_plan plan; /* of the bridge; prefix 0: not known yet. The loop's */
	uint32_t last_address;    /* given out before. The loop's */
	bool bridge_seen;         /* atomic: the helper was told of the DNS */
};

/* registry.c */
struct vm *vm_new(struct vms *vms, const struct vm_row *row, struct error *err);
/* Takes it out of the registry and frees it. */
void vm_free(struct vm *vm);

/* admission.c: ERR_NO_ROOM with the numbers unless the host has room for one more VM that takes so
 * much memory (0: does not run). */
int vms_admit(const struct vms *vms, uint64_t memory_mib, struct error *err) MUST_USE;
/* The same for a VM that is there and is to run. */
int vm_admit(const struct vm *vm, struct error *err) MUST_USE;

/* state.c */
int vm_state_parse(const char *name, enum vm_state *ret_state) MUST_USE;
/* The one function that assigns a state: writes the row, tells the world. */
void vm_set_state(struct vm *vm, enum vm_state state, const char *desired, const char *reason,
		  const char *by, const char *op_id);
/* The same for what must be written down before it is done: on failure nothing has changed. */
int vm_intend(struct vm *vm, enum vm_state state, const char *desired, const char *by,
	      const char *op_id, struct error *err) MUST_USE;
/* For a VM that has nothing but its row, which could not be removed: the next check goes on. */
void vm_delete_later(struct vm *vm, const char *by, const char *op_id, const struct error *why);

/* Writes what the store could not take before. */
void vm_save(struct vm *vm);

/* The snapshot that its disk goes on from now; "" : none. */
void vm_stand_on(struct vm *vm, const char *snapshot);

/* boot.c */
int vm_boot_init(const struct vms *vms, const struct vm_row *row, const char *kernel_cmdline,
		 struct vm_boot *ret_boot, struct error *err) MUST_USE;
void vm_boot_done(struct vm_boot *boot);
/* Takes the contents over; `from` is empty then, `to` was. */
void vm_boot_move(struct vm_boot *to, struct vm_boot *from);
/* Worker: files of image and kernel that are lost are made again, see image_mend(). */
int vm_boot_mend(const struct vms *vms, const char *image_id, const char *kernel_id, struct op *op,
		 struct error *err) MUST_USE;
/* Worker: a cgroup for the VMM that starts next, where the server may make them; the helper sees to
 * those of its jails. cgroup_remove() when it has ended. */
int vm_limit(const struct vms *vms, const char *id, struct vm_boot *boot,
	     struct error *err) MUST_USE;
/* A random UUID. */
void vm_boot_id_new(char ret_id[40]);

/* disk.c: worker */
/* Copies a disk; it appears under its name when it is complete, and not before. */
int disk_copy(int from_fd, const char *path, struct error *err) MUST_USE;
int disk_create(const char *cache_dir, const char *path, uint64_t size_mib, int cancel_fd,
		struct error *err) MUST_USE;

/* process.c */
/* Takes over `proc`: watches its end, opens link and console. */
int vm_attach(struct vm *vm, const struct vmm_driver *driver, struct proc *proc,
	      struct error *err) MUST_USE;
/* The process is gone or given up: everything that belongs to it goes. `state` is where the VM then
 * is. */
void vm_detach(struct vm *vm, enum vm_state state, const char *reason, const char *by,
	       const char *op_id);
/* Removes the folder of sockets. */
void vm_remove_run_dir(struct vm *vm);

/* Where the first boot of a VM comes from. */
enum boot_policy { BOOT_AUTO, BOOT_COLD, BOOT_TEMPLATE };

/* Who asks when the idle clock does. */
#define VM_BY_IDLE "idle"

/* verb.c */
struct verb_job {
	struct vms *vms;
	char id[ID_LEN + 1]; /* the VM is looked up at every visit to the loop: an earlier operation
				may have ended it */
	char who[128];
	bool creating;
	bool force;
	const char *reason; /* of a pause; static, may be NULL */
	uint32_t idle_s;    /* of an end for want of activity; 0: it was asked for */
	int signo;          /* of a kill; 0: SIGKILL */
	enum vm_verb verb;
	enum boot_policy boot;
	char snapshot[ID_LEN + 1]; /* what to start from; "" : none */
	bool own_identity;         /* the clone becomes a machine of its own */
	bool memory;
	bool nat; /* what it is switched to */
	uint32_t count;
	char name[64];
	op_run_fn *run; /* of vm_submit_verb() */
};
/* Submits an operation of `spec` on the VM and in its queue; takes over spec->data, also on
 * failure. */
int vm_submit_spec(struct vm *vm, struct op_spec *spec, struct op **ret_op,
		   struct error *err) MUST_USE;
/* The same with a copy of `job` as data. */
int vm_submit(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
	      struct op **ret_op, struct error *err) MUST_USE;
/* The same, and holds the snapshot that job->snapshot names until the operation has ended. */
int vm_submit_holding(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
		      struct snapshot *snapshot, struct op **ret_op, struct error *err) MUST_USE;
/* For what somebody asks for: refused unless the table of states allows job->verb, now and once
 * more when its turn has come. `snapshot` is held as above; NULL: none. */
int vm_submit_verb(struct vm *vm, const char *kind, op_run_fn *run, const struct verb_job *job,
		   struct snapshot *snapshot, struct op **ret_op, struct error *err) MUST_USE;
/* On a worker: runs fn on the loop's thread with the job's VM; its return value, or ERR_NOT_FOUND.
 */
typedef int vm_loop_fn(struct vm *vm, void *data, struct error *err);
int vm_on_loop(const struct verb_job *job, vm_loop_fn *fn, void *data, struct error *err) MUST_USE;
/* The same for what can't go on without the store: while that is locked it is tried again, within
 * reason. */
int vm_on_loop_stored(struct op *op, const struct verb_job *job, vm_loop_fn *fn, void *data,
		      struct error *err) MUST_USE;

/* stop.c: worker; ends the process and cleans up. `polite_ms` 0: at once. */
int vm_end_process(struct op *op, struct verb_job *job, int polite_ms, enum vm_state state,
		   const char *reason, struct error *err) MUST_USE;
/* start.c: worker */
int vm_run_start(struct op *op, void *data, struct error *err);

/* check.c: until the next check, when there is something for it. */
void vms_check_soon(struct vms *vms);
/* pause.c: sees to it that the guest of a running VM runs, and that of a paused one stands still.
 */
int vm_hold_to_row(struct vm *vm, struct error *err) MUST_USE;
/* Worker: whether the guest runs is not known; the next check, which comes soon, holds it to its
 * row. */
void vm_doubt(const struct verb_job *job);
/* vm_pause() for a reason that the row then gives; a static text. */
int vm_pause_for(struct vm *vm, const char *reason, const char *who, struct op **ret_op,
		 struct error *err) MUST_USE;

/* room.c: pauses those who run when the host's disk is nearly full, and lets them go on afterwards.
 */
void vms_check_room(struct vms *vms);

/* ttl.c: sets or clears the timer by row.ends_ms. */
void vm_arm_ttl(struct vm *vm);
/* idle.c: the same for row.idle_stop_s. */
void vm_arm_idle(struct vm *vm);
void vm_holds_free(struct vm *vm);
int vm_holds_load(struct vms *vms, struct error *err) MUST_USE;

/* restore.c: the reason while its disk is replaced, so that a crash in between can be told. */
extern const char vm_restoring_reason[];

/* reconcile.c */
int vms_reconcile(struct vms *vms, struct error *err) MUST_USE;
/* A process of the recorded pid and start time that names the VM's id. */
bool vm_find_process(struct vm *vm, struct proc *ret_proc);
/* Takes it up as the VM's. */
void vm_adopt(struct vm *vm, struct proc *proc);
/* Any thread; may take seconds. Ends a VMM that answers on the sockets of this id and is recorded
 * nowhere. */
void vms_quit_unknown(const struct vms *vms, const char *id);

/* check.c: the same question while the server runs, every so often. */
int vms_check_begin(struct vms *vms, struct error *err) MUST_USE;
