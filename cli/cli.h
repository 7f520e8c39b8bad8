/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command gets, and the commands themselves, one file a group: vm.c, run.c, job.c,
 * execs.c, shell.c, ssh.c, snapshot.c, template.c, image.c, operation.c, doctor.c, server.c.
 *
 * Exit status: 0 for success, the guest command's own status where one was run, EXIT_FAILED when
 * something failed, EXIT_USAGE when the command line can't be understood, EXIT_OURS when `vm run`
 * or `vm exec` failed before or around the command, 128 + n after signal n.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/client.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_OURS = 125 };

struct cli {
	struct client *client; /* made by cli_connect() */
	bool json;
	bool quiet;
	bool progress; /* standard error is a terminal and nobody asked for quiet */
	bool colour;   /* standard output is a terminal and $NO_COLOR is not set */
};

/* The whole program. */
int cli_main(int argc, char *const argv[]);

/* Finds the server and makes the client; says what is wrong. 0 or an exit status. */
int cli_connect(struct cli *cli, const struct args *args);

/* Where the server's socket should be; the caller frees. See main.c for the order. */
int cli_find_server(const char *server, const char *home, char **ret_address, struct error *err);

/* "banger: <message>" on standard error, "try: …" where there is more to say; returns EXIT_FAILED,
 * or 128 + n after a signal. Silent when a reader has left our output, as a shell's own tools are.
 * All that is said here is a problem document instead where --json is given. */
int cli_fail(struct cli *cli, const struct error *err);
/* The same for a problem document, or whatever else a reply of 400 and above holds. */
int cli_fail_reply(const struct cli *cli, const struct client_reply *reply);
/* "banger: <detail>", the refused values, "try: <remedy>", the operation's id. */
void cli_show_problem(const struct cli *cli, const json_t *problem);
/* "banger: <message>" for what goes wrong on this side. */
void cli_say(const struct cli *cli, enum error_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/*
 * One request. True when the server answered below 400; else the failure has been shown and
 * *ret_status is the exit status.
 */
bool cli_request(struct cli *cli, const struct client_request *request,
		 struct client_reply *ret_reply, int *ret_status);

/* Every item of a list, page by page. `query` is "" or begins with "&". New reference or NULL. */
json_t *cli_list(struct cli *cli, const char *path, const char *query, int *ret_status);
/* The items of a list that has no pages. New reference or NULL. */
json_t *cli_items(struct cli *cli, const char *path, int *ret_status);

int cmd_help(struct cli *cli, const struct args *args);
int cmd_completion(struct cli *cli, const struct args *args);

int cmd_run(struct cli *cli, const struct args *args);
int cmd_run_list(struct cli *cli, const struct args *args);
int cmd_run_show(struct cli *cli, const struct args *args);
int cmd_run_output(struct cli *cli, const struct args *args);
int cmd_run_cancel(struct cli *cli, const struct args *args);

int cmd_vm_run(struct cli *cli, const struct args *args);
int cmd_vm_exec(struct cli *cli, const struct args *args);
int cmd_vm_shell(struct cli *cli, const struct args *args);
int cmd_vm_console(struct cli *cli, const struct args *args);
int cmd_vm_create(struct cli *cli, const struct args *args);
int cmd_vm_list(struct cli *cli, const struct args *args);
int cmd_vm_show(struct cli *cli, const struct args *args);
int cmd_vm_logs(struct cli *cli, const struct args *args);
int cmd_vm_verb(struct cli *cli, const struct args *args);
int cmd_vm_set(struct cli *cli, const struct args *args);
int cmd_vm_stats(struct cli *cli, const struct args *args);
int cmd_vm_wait(struct cli *cli, const struct args *args);
int cmd_vm_prune(struct cli *cli, const struct args *args);

int cmd_vm_fork(struct cli *cli, const struct args *args);
int cmd_vm_restore(struct cli *cli, const struct args *args);
int cmd_snapshot_create(struct cli *cli, const struct args *args);
int cmd_snapshot_list(struct cli *cli, const struct args *args);
int cmd_snapshot_show(struct cli *cli, const struct args *args);
int cmd_snapshot_export(struct cli *cli, const struct args *args);
int cmd_snapshot_import(struct cli *cli, const struct args *args);
int cmd_snapshot_delete(struct cli *cli, const struct args *args);

int cmd_vm_ports(struct cli *cli, const struct args *args);
int cmd_vm_forward(struct cli *cli, const struct args *args);
int cmd_vm_unforward(struct cli *cli, const struct args *args);
int cmd_vm_tunnel(struct cli *cli, const struct args *args);
/* Standard input and output tied to a port of a VM until both ends have sent all. */
int tunnel_run(struct cli *cli, const char *vm, const char *port);

int cmd_vm_ssh(struct cli *cli, const struct args *args);
/* What is known of the host keys of these VMs goes, where there is anything. */
void ssh_forget(const struct args *args);
int cmd_ssh_proxy(struct cli *cli, const struct args *args);
int cmd_ssh_config(struct cli *cli, const struct args *args);

int cmd_workspace_prepare(struct cli *cli, const struct args *args);
int cmd_workspace_show(struct cli *cli, const struct args *args);
int cmd_workspace_export(struct cli *cli, const struct args *args);
int cmd_cp(struct cli *cli, const struct args *args);

int cmd_execs_list(struct cli *cli, const struct args *args);
int cmd_execs_show(struct cli *cli, const struct args *args);
int cmd_execs_logs(struct cli *cli, const struct args *args);
int cmd_execs_wait(struct cli *cli, const struct args *args);
int cmd_execs_kill(struct cli *cli, const struct args *args);
int cmd_execs_delete(struct cli *cli, const struct args *args);

int cmd_template_list(struct cli *cli, const struct args *args);
int cmd_template_show(struct cli *cli, const struct args *args);
int cmd_template_pin(struct cli *cli, const struct args *args);
int cmd_template_unpin(struct cli *cli, const struct args *args);
int cmd_template_delete(struct cli *cli, const struct args *args);

int cmd_image_list(struct cli *cli, const struct args *args);
int cmd_image_build(struct cli *cli, const struct args *args);
int cmd_image_prepare(struct cli *cli, const struct args *args);
int cmd_image_pull(struct cli *cli, const struct args *args);
int cmd_image_import(struct cli *cli, const struct args *args);
int cmd_image_promote(struct cli *cli, const struct args *args);
int cmd_image_verify(struct cli *cli, const struct args *args);
int cmd_cache_prune(struct cli *cli, const struct args *args);
int cmd_image_show(struct cli *cli, const struct args *args);
int cmd_image_delete(struct cli *cli, const struct args *args);
int cmd_kernel_list(struct cli *cli, const struct args *args);
int cmd_kernel_import(struct cli *cli, const struct args *args);
int cmd_catalog_list(struct cli *cli, const struct args *args);
int cmd_image_tag(struct cli *cli, const struct args *args);
int cmd_image_size(struct cli *cli, const struct args *args);
int cmd_kernel_build(struct cli *cli, const struct args *args);
int cmd_kernel_show(struct cli *cli, const struct args *args);
int cmd_kernel_delete(struct cli *cli, const struct args *args);

int cmd_operation_list(struct cli *cli, const struct args *args);
int cmd_operation_show(struct cli *cli, const struct args *args);
int cmd_operation_cancel(struct cli *cli, const struct args *args);
int cmd_events(struct cli *cli, const struct args *args);

int cmd_open(struct cli *cli, const struct args *args);
int cmd_doctor(struct cli *cli, const struct args *args);
int cmd_version(struct cli *cli, const struct args *args);
int cmd_token_create(struct cli *cli, const struct args *args);
int cmd_token_list(struct cli *cli, const struct args *args);
int cmd_token_delete(struct cli *cli, const struct args *args);
