/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes are never taken out: one that goes is no longer alive, and comes back to life when its name
 * is used again. So indices stay good, and the arrays grow with what the layers name, once.
 */
#include "server/unpack/tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"

static const char whiteout[] = ".wh.";
static const char whiteout_opaque[] = ".wh..wh..opq";
static const char whiteout_meta[] = ".wh..wh.";

enum { FIRST_BUCKETS = 1024 };

/* --- arrays --- */

static int grow(void **array, uint32_t *cap, uint32_t want, size_t each, uint32_t max,
		const char *what, struct error *err)
{
	uint64_t bigger = *cap ? (uint64_t)*cap * 2 : 1024;
	void *p;

	if (want <= *cap)
		return 0;
	if (want > max)
		return error_set(err, ERR_TOO_LARGE, "more than %u %s", max, what);
	while (bigger < want)
		bigger *= 2;
	if (bigger > max)
		bigger = max;
	p = reallocarray(*array, bigger, each);
	if (!p)
		return error_errno(err, -ENOMEM, "%u %s", want, what);
	*array = p;
	*cap = (uint32_t)bigger;
	return 0;
}

static int add_text(struct tree *tree, const char *s, size_t len, uint32_t *ret_at,
		    struct error *err)
{
	int r;

	if (len > TREE_PATH_MAX)
		return error_set(err, ERR_INVALID, "a name of %zu bytes", len);
	r = grow((void **)&tree->text, &tree->cap_text, tree->n_text + (uint32_t)len + 1, 1,
		 TREE_TEXT_MAX, "bytes of names", err);
	if (r < 0)
		return r;
	memcpy(tree->text + tree->n_text, s, len);
	tree->text[tree->n_text + len] = '\0';
	*ret_at = tree->n_text;
	tree->n_text += (uint32_t)len + 1;
	return 0;
}

/* The seed is not known to who makes the names. */
static uint32_t bucket_of(const struct tree *tree, uint32_t parent, const char *name, size_t len)
{
	uint64_t h = tree->seed ^ ((uint64_t)parent * 0x9e3779b97f4a7c15U);

	for (size_t i = 0; i < len; i++) {
		h = (h ^ (unsigned char)name[i]) * 0xff51afd7ed558ccdU;
		h ^= h >> 29;
	}
	return (uint32_t)(h ^ (h >> 32)) & (tree->n_buckets - 1);
}

static int rehash(struct tree *tree, struct error *err)
{
	uint32_t n = tree->n_buckets ? tree->n_buckets * 2 : FIRST_BUCKETS;
	uint32_t *buckets = reallocarray(NULL, n, sizeof(*buckets));

	if (!buckets)
		return error_errno(err, -ENOMEM, "names");
	memset(buckets, 0xff, n * sizeof(*buckets));
	free(tree->buckets);
	tree->buckets = buckets;
	tree->n_buckets = n;
	for (uint32_t i = 0; i < tree->n_nodes; i++) {
		struct tree_node *node = &tree->nodes[i];
		uint32_t b = bucket_of(tree, node->parent, tree->text + node->name, node->name_len);

		node->hash_next = buckets[b];
		buckets[b] = i;
	}
	return 0;
}

int tree_init(struct tree *tree)
{
	*tree = (struct tree){ .nodes = NULL };
	if (getrandom(&tree->seed, sizeof(tree->seed), 0) != (ssize_t)sizeof(tree->seed))
		return -errno;
	tree->nodes = calloc(1024, sizeof(*tree->nodes));
	tree->text = calloc(1, 1024);
	if (!tree->nodes || !tree->text) {
		tree_done(tree);
		return -ENOMEM;
	}
	tree->cap_nodes = 1024;
	tree->cap_text = 1024;
	tree->n_text = 1;
	tree->n_nodes = 1;
	tree->nodes[0] = (struct tree_node){ .parent = TREE_NONE,
					     .hash_next = TREE_NONE,
					     .first_child = TREE_NONE,
					     .next_sibling = TREE_NONE,
					     .inode = TREE_NONE,
					     .next_same = TREE_NONE,
					     .alive = true,
					     .is_dir = true };
	return 0;
}

void tree_done(struct tree *tree)
{
	free(tree->nodes);
	free(tree->inodes);
	free(tree->text);
	free(tree->buckets);
	*tree = (struct tree){ .nodes = NULL };
}

/* --- names --- */

/* Alive or not. */
static uint32_t lookup(const struct tree *tree, uint32_t parent, const char *name, size_t len)
{
	uint32_t i;

	if (tree->n_buckets == 0)
		return TREE_NONE;
	for (i = tree->buckets[bucket_of(tree, parent, name, len)]; i != TREE_NONE;
	     i = tree->nodes[i].hash_next) {
		const struct tree_node *node = &tree->nodes[i];

		if (node->parent == parent && node->name_len == len &&
		    memcmp(tree->text + node->name, name, len) == 0)
			return i;
	}
	return TREE_NONE;
}

static uint32_t lookup_alive(const struct tree *tree, uint32_t parent, const char *name, size_t len)
{
	uint32_t i = lookup(tree, parent, name, len);

	return i != TREE_NONE && tree->nodes[i].alive ? i : TREE_NONE;
}

/* A name that may be dead; its caller brings it to life. */
static int obtain(struct tree *tree, uint32_t parent, const char *name, size_t len,
		  uint32_t *ret_node, struct error *err)
{
	uint32_t i = lookup(tree, parent, name, len), at, b;
	int r;

	if (i != TREE_NONE) {
		*ret_node = i;
		return 0;
	}
	r = grow((void **)&tree->nodes, &tree->cap_nodes, tree->n_nodes + 1, sizeof(*tree->nodes),
		 TREE_NODES_MAX, "names", err);
	if (r == 0 && tree->n_nodes + 1 > tree->n_buckets / 2)
		r = rehash(tree, err);
	if (r == 0)
		r = add_text(tree, name, len, &at, err);
	if (r < 0)
		return r;
	i = tree->n_nodes++;
	b = bucket_of(tree, parent, name, len);
	tree->nodes[i] = (struct tree_node){ .parent = parent,
					     .name = at,
					     .name_len = (uint8_t)len,
					     .hash_next = tree->buckets[b],
					     .first_child = TREE_NONE,
					     .next_sibling = tree->nodes[parent].first_child,
					     .inode = TREE_NONE,
					     .next_same = TREE_NONE };
	tree->buckets[b] = i;
	tree->nodes[parent].first_child = i;
	*ret_node = i;
	return 0;
}

/* The node that follows `i` in a walk of the tree below `top`, children after their folder. */
static uint32_t walk_next(const struct tree *tree, uint32_t i, uint32_t top, bool descend)
{
	const struct tree_node *node = &tree->nodes[i];

	if (descend && node->first_child != TREE_NONE)
		return node->first_child;
	while (i != top) {
		if (tree->nodes[i].next_sibling != TREE_NONE)
			return tree->nodes[i].next_sibling;
		i = tree->nodes[i].parent;
	}
	return TREE_NONE;
}

/* Everything below `top`, itself not. */
static void kill_below(struct tree *tree, uint32_t top)
{
	/* What is dead has no living children: the walk need not look at them. */
	for (uint32_t i = walk_next(tree, top, top, true); i != TREE_NONE;) {
		uint32_t next = walk_next(tree, i, top, tree->nodes[i].alive);

		tree->nodes[i].alive = false;
		i = next;
	}
}

static bool has_living_child(const struct tree *tree, uint32_t dir)
{
	for (uint32_t c = tree->nodes[dir].first_child; c != TREE_NONE;
	     c = tree->nodes[c].next_sibling)
		if (tree->nodes[c].alive)
			return true;
	return false;
}

/*
 * What older layers have put below `top` goes; what this one has, and the folders on the way to it,
 * stay. Folders are looked at after their children: on the way up.
 */
static void hide_below(struct tree *tree, uint32_t top, uint16_t layer)
{
	uint32_t i = top;
	bool down = true;

	for (;;) {
		struct tree_node *node = &tree->nodes[i];

		if (down && node->alive && node->is_dir && node->first_child != TREE_NONE) {
			i = node->first_child;
			continue;
		}
		if (i == top)
			return;
		if (node->alive && node->layer < layer &&
		    (!node->is_dir || !has_living_child(tree, i)))
			node->alive = false;
		down = node->next_sibling != TREE_NONE;
		i = down ? node->next_sibling : node->parent;
	}
}

/* --- paths --- */

struct walk {
	char rest[2 * TREE_PATH_MAX + 2]; /* what is still to be walked */
	uint32_t at;
	unsigned int links;
};

static int bad_path(struct error *err, const char *path, const char *why)
{
	char shown[200];

	return error_set(err, ERR_INVALID, "'%s': %s", tree_printable(path, shown, sizeof(shown)),
			 why);
}

/* Of a member's own name: relative, without "..", every part of a bearable length. */
static int check_path(const char *path, struct error *err)
{
	size_t total = strlen(path);

	if (total > TREE_PATH_MAX)
		return bad_path(err, path, "the name is too long");
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");

		if (len == 2 && p[0] == '.' && p[1] == '.')
			return bad_path(err, path, "'..' in a name");
		if (len > TREE_NAME_MAX)
			return bad_path(err, path, "a part of the name is too long");
		p += len;
		p += strspn(p, "/");
	}
	return 0;
}

/* Puts a symbolic link's target in front of what is still to be walked. */
static int follow(const struct tree *tree, struct walk *w, uint32_t link, const char *path,
		  struct error *err)
{
	const struct tree_node *node = &tree->nodes[link];
	const char *target = tree->text + tree->inodes[node->inode].target;
	char joined[sizeof(w->rest)];
	int n;

	if (++w->links > TREE_LINKS_MAX)
		return bad_path(err, path, "too many symbolic links on the way");
	n = snprintf(joined, sizeof(joined), "%s/%s", target, w->rest);
	if (n < 0 || (size_t)n >= sizeof(joined))
		return bad_path(err, path, "the name is too long");
	memcpy(w->rest, joined, (size_t)n + 1);
	if (w->rest[0] == '/')
		w->at = TREE_ROOT;
	return 0;
}

/* Takes the next part off the front; its length, 0 at the end. */
static size_t next_part(struct walk *w, char part[TREE_NAME_MAX + 1])
{
	char *p = w->rest + strspn(w->rest, "/");
	size_t len = strcspn(p, "/");

	if (len > TREE_NAME_MAX)
		return len;
	memcpy(part, p, len);
	part[len] = '\0';
	p += len;
	p += strspn(p, "/");
	memmove(w->rest, p, strlen(p) + 1);
	return len;
}

static bool is_symlink(const struct tree *tree, uint32_t node)
{
	return tree->nodes[node].inode != TREE_NONE &&
	       tree->inodes[tree->nodes[node].inode].is_symlink;
}

/* A folder that no member names, but that is on the way to one. */
static int imply_dir(struct tree *tree, uint32_t parent, const char *part, size_t len,
		     uint16_t layer, uint32_t *ret_node, struct error *err)
{
	int r = obtain(tree, parent, part, len, ret_node, err);

	if (r < 0)
		return r;
	tree->nodes[*ret_node].alive = true;
	tree->nodes[*ret_node].is_dir = true;
	tree->nodes[*ret_node].inode = TREE_NONE;
	tree->nodes[*ret_node].layer = layer;
	return 0;
}

/*
 * Goes to the folder that holds the last part of `path`, and gives that part. Symbolic links on the
 * way are followed inside the tree. `layer` UINT16_MAX: nothing is made, and a folder that is not
 * there is TREE_NONE.
 */
static int walk_to(struct tree *tree, const char *path, uint16_t layer, uint32_t *ret_dir,
		   char ret_last[TREE_NAME_MAX + 1], struct error *err)
{
	struct walk w = { .at = TREE_ROOT };

	(void)snprintf(w.rest, sizeof(w.rest), "%s", path);
	for (;;) {
		char part[TREE_NAME_MAX + 1];
		size_t len = next_part(&w, part);
		uint32_t child;
		int r = 0;

		if (len > TREE_NAME_MAX)
			return bad_path(err, path, "a part of the name is too long");
		if (streq(part, ".") && w.rest[0])
			continue;
		if (streq(part, "..")) {
			if (w.at != TREE_ROOT)
				w.at = tree->nodes[w.at].parent;
			continue;
		}
		if (w.rest[0] == '\0') {
			*ret_dir = w.at;
			memcpy(ret_last, streq(part, ".") ? "" : part, len + 1);
			return 0;
		}
		child = lookup_alive(tree, w.at, part, len);
		if (child == TREE_NONE && layer == UINT16_MAX) {
			*ret_dir = TREE_NONE;
			return 0;
		}
		if (child == TREE_NONE)
			r = imply_dir(tree, w.at, part, len, layer, &w.at, err);
		else if (tree->nodes[child].is_dir)
			w.at = child;
		else if (is_symlink(tree, child))
			r = follow(tree, &w, child, path, err);
		else
			r = bad_path(err, path, "a part of the way is no folder");
		if (r < 0)
			return r;
	}
}

uint32_t tree_find(const struct tree *tree, const char *path)
{
	struct tree *same = (struct tree *)(uintptr_t)tree; /* nothing is made for UINT16_MAX */
	struct error ignored = ERROR_INIT;
	char last[TREE_NAME_MAX + 1];
	uint32_t dir;

	if (walk_to(same, path, UINT16_MAX, &dir, last, &ignored) < 0 || dir == TREE_NONE)
		return TREE_NONE;
	return last[0] ? lookup_alive(tree, dir, last, strlen(last)) : dir;
}

int tree_path(const struct tree *tree, uint32_t node, char ret_path[TREE_PATH_MAX + 1],
	      struct error *err)
{
	char reversed[TREE_PATH_MAX + 1];
	size_t at = TREE_PATH_MAX;

	reversed[at] = '\0';
	for (; node != TREE_ROOT; node = tree->nodes[node].parent) {
		const struct tree_node *n = &tree->nodes[node];

		if ((size_t)n->name_len + 1 > at)
			return error_set(err, ERR_INVALID, "a path of more than %d bytes",
					 TREE_PATH_MAX);
		if (reversed[at])
			reversed[--at] = '/';
		at -= n->name_len;
		memcpy(reversed + at, tree->text + n->name, n->name_len);
	}
	memcpy(ret_path, reversed + at, TREE_PATH_MAX + 1 - at);
	return 0;
}

char *tree_printable(const char *text, char *buf, size_t size)
{
	size_t n = 0;

	for (; *text && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= ' ' && c < 0x7f && c != '\\' && c != '\'')
			buf[n++] = (char)c;
		else
			n += (size_t)snprintf(buf + n, size - n, "\\x%02x", c);
	}
	buf[n] = '\0';
	return buf;
}

/* --- members --- */

static int add_inode(struct tree *tree, const struct tree_member *m, uint32_t *ret_inode,
		     struct error *err)
{
	uint32_t target = 0;
	int r = grow((void **)&tree->inodes, &tree->cap_inodes, tree->n_inodes + 1,
		     sizeof(*tree->inodes), TREE_NODES_MAX, "members", err);

	if (r == 0 && S_ISLNK(m->type))
		r = add_text(tree, m->target ? m->target : "", strlen(m->target ? m->target : ""),
			     &target, err);
	if (r < 0)
		return r;
	tree->inodes[tree->n_inodes] = (struct tree_inode){ .ordinal = m->ordinal,
							    .layer = m->layer,
							    .target = target,
							    .first = TREE_NONE,
							    .is_dir = S_ISDIR(m->type),
							    .is_symlink = S_ISLNK(m->type),
							    .is_regular = S_ISREG(m->type) };
	*ret_inode = tree->n_inodes++;
	return 0;
}

/* The inode that a hard link names. */
static int link_inode(struct tree *tree, const struct tree_member *m, uint32_t *ret_inode,
		      struct error *err)
{
	const char *target = m->target ? m->target : "";
	uint32_t node;
	int r = check_path(target, err);

	if (r < 0)
		return error_wrap(err, "a hard link");
	node = tree_find(tree, target);
	if (node == TREE_NONE)
		return bad_path(err, m->path, "a hard link to what is not there");
	if (tree->nodes[node].is_dir || tree->nodes[node].inode == TREE_NONE)
		return bad_path(err, m->path, "a hard link to a folder");
	*ret_inode = tree->nodes[node].inode;
	return 0;
}

static int apply_whiteout(struct tree *tree, const struct tree_member *m, uint32_t dir,
			  const char *last, struct error *err)
{
	const char *name = last + strlen(whiteout);
	uint32_t node;

	if (streq(last, whiteout_opaque)) {
		hide_below(tree, dir, m->layer);
		return 0;
	}
	if (str_has_prefix(last, whiteout_meta))
		return 0;
	if (name[0] == '\0' || streq(name, ".") || streq(name, ".."))
		return bad_path(err, m->path, "a whiteout of nothing");
	node = lookup_alive(tree, dir, name, strlen(name));
	if (node == TREE_NONE)
		return 0;
	if (tree->nodes[node].is_dir)
		hide_below(tree, node, m->layer);
	if (tree->nodes[node].layer < m->layer &&
	    !(tree->nodes[node].is_dir && has_living_child(tree, node)))
		tree->nodes[node].alive = false;
	return 0;
}

int tree_apply(struct tree *tree, const struct tree_member *m, struct error *err)
{
	bool is_dir = !m->hard_link && S_ISDIR(m->type);
	char last[TREE_NAME_MAX + 1];
	uint32_t dir = TREE_ROOT, node = TREE_NONE, inode = TREE_NONE;
	int r;

	if (m->path[0] == '/')
		return bad_path(err, m->path, "an absolute name");
	r = check_path(m->path, err);
	if (r == 0)
		r = walk_to(tree, m->path, m->layer, &dir, last, err);
	if (r < 0)
		return r;
	if (last[0] == '\0' && dir == TREE_ROOT && is_dir)
		return 0; /* the root itself */
	if (last[0] == '\0')
		return bad_path(err, m->path, "no name");
	if (str_has_prefix(last, whiteout))
		return apply_whiteout(tree, m, dir, last, err);
	r = m->hard_link ? link_inode(tree, m, &inode, err) : add_inode(tree, m, &inode, err);
	if (r == 0)
		r = obtain(tree, dir, last, strlen(last), &node, err);
	if (r < 0)
		return r;
	if (tree->nodes[node].alive && tree->nodes[node].is_dir && !is_dir)
		kill_below(tree, node);
	tree->nodes[node].alive = true;
	tree->nodes[node].is_dir = is_dir;
	tree->nodes[node].inode = inode;
	tree->nodes[node].layer = m->layer;
	return 0;
}

void tree_link(struct tree *tree)
{
	for (uint32_t i = tree->n_nodes; i-- > 1;) {
		struct tree_node *node = &tree->nodes[i];

		if (!node->alive || node->inode == TREE_NONE)
			continue;
		node->next_same = tree->inodes[node->inode].first;
		tree->inodes[node->inode].first = i;
	}
}
