/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and folders of a guest over the API. `vm` is a VM's path of the API ("/vms/web"), paths are
 * absolute in the guest. Each function returns 0, or an exit status after it has said what was
 * wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cli;

/* Path of the API: "/vms/web/files/root/a%20b<query>"; the caller frees. */
char *guest_file_path(const char *vm, const char *path, const char *query);

/* What is there: "file", "dir", …, or "" for nothing. `mode` may be NULL. */
int guest_file_look(struct cli *cli, const char *vm, const char *path, char type[8],
		    mode_t *ret_mode);
/* Writes all of `fd`; `length` -1: up to its end, whatever that is. Missing folders are made with
 * `parents`. */
int guest_file_write(struct cli *cli, const char *vm, const char *path, mode_t mode, bool parents,
		     int fd, int64_t length);
int guest_file_read(struct cli *cli, const char *vm, const char *path, int fd);
/* Puts a tree below the guest's folder, which is made if absent. */
int guest_tree_write(struct cli *cli, const char *vm, const char *path, int dir_fd);
/* The same with a tar archive that comes from `fd`, or goes there. */
int guest_archive_write(struct cli *cli, const char *vm, const char *path, int fd);
int guest_archive_read(struct cli *cli, const char *vm, const char *path, int fd);
/* Sends an archive of these parts as a request's body. */
struct tar_part;
int guest_tree_send(struct cli *cli, const char *method, const char *target,
		    const struct tar_part *parts, size_t n);
/* Takes what is in the guest's folder into `dir_fd`. */
int guest_tree_read(struct cli *cli, const char *vm, const char *path, int dir_fd);
