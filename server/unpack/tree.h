/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of an image while its layers are read, oldest first: what unpacking them one over the
 * other would leave, without the files. A name points to an inode: the member of a layer that holds
 * its content. Several names of one inode are hard links.
 *
 * Everything that comes in is hostile. Paths never leave the tree: "..", empty and over-long parts
 * are refused, symbolic links are followed inside it only. One thread.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

enum {
	TREE_NODES_MAX = 1000000, /* names, the ones that went included */
	TREE_NAME_MAX = 255,
	TREE_PATH_MAX = 4095,
	TREE_LINKS_MAX = 40, /* symbolic links on the way to one name */
	TREE_NONE = UINT32_MAX,
	TREE_ROOT = 0,
};

/* The arenas, too: bytes of names and link targets, together. */
#define TREE_TEXT_MAX (128U << 20)

struct tree_node {
	uint32_t parent;
	uint32_t name; /* offset in the text */
	uint32_t hash_next;
	uint32_t first_child;
	uint32_t next_sibling;
	uint32_t inode;     /* TREE_NONE: a folder that no layer has a member for */
	uint32_t next_same; /* the next name of the same inode, after tree_link() */
	uint16_t layer;     /* that has set it last */
	uint8_t name_len;
	bool alive;
	bool is_dir;
};

struct tree_inode {
	uint32_t ordinal; /* of the member in its layer, from 0 */
	uint32_t target;  /* of a symbolic link: offset in the text */
	uint32_t first;   /* name, after tree_link(); TREE_NONE: it has none any more */
	uint16_t layer;
	bool is_dir;
	bool is_symlink;
	bool is_regular;
};

struct tree {
	struct tree_node *nodes;
	uint32_t n_nodes, cap_nodes;
	struct tree_inode *inodes;
	uint32_t n_inodes, cap_inodes;
	char *text;
	uint32_t n_text, cap_text;
	uint32_t *buckets;
	uint32_t n_buckets; /* a power of two */
	uint64_t seed;
};

/* A member of a layer, as far as names are concerned; the strings are borrowed. */
struct tree_member {
	const char *path;
	const char *target; /* of a hard link or symbolic link, else NULL */
	mode_t type;        /* S_IFMT part; of a hard link it does not matter */
	bool hard_link;
	uint16_t layer;
	uint32_t ordinal;
};

int tree_init(struct tree *tree) MUST_USE;
void tree_done(struct tree *tree);

/*
 * Applies a member. Within a layer members may come in any order that tar knows; layers come oldest
 * first. ERR_INVALID says what is wrong with it, ERR_TOO_LARGE which limit was passed.
 */
int tree_apply(struct tree *tree, const struct tree_member *member, struct error *err) MUST_USE;

/* After the last member: chains the names of each inode. */
void tree_link(struct tree *tree);

/* "usr/bin/x"; ERR_INVALID when that is longer than TREE_PATH_MAX. */
int tree_path(const struct tree *tree, uint32_t node, char ret_path[TREE_PATH_MAX + 1],
	      struct error *err) MUST_USE;

/* A living name by its path, symbolic links on the way followed; TREE_NONE: there is none. */
uint32_t tree_find(const struct tree *tree, const char *path);

/* `text` with what is no printable ASCII as \xNN, cut to `size`. Returns buf. */
char *tree_printable(const char *text, char *buf, size_t size);
