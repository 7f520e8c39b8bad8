/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/service/service.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>

int agent_child_add(struct agent *agent, pid_t pid, child_ended_fn *fn, void *data)
{
	struct child *child = calloc(1, sizeof(*child));

	if (!child)
		return -ENOMEM;
	*child = (struct child){ .next = agent->children, .pid = pid, .fn = fn, .data = data };
	agent->children = child;
	return 0;
}

static struct child *unlink_child(struct agent *agent, pid_t pid)
{
	for (struct child **p = &agent->children; *p; p = &(*p)->next) {
		struct child *child = *p;

		if (child->pid == pid) {
			*p = child->next;
			return child;
		}
	}
	return NULL;
}

void agent_child_forget(struct agent *agent, pid_t pid)
{
	free(unlink_child(agent, pid));
}

void agent_reap(struct agent *agent)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *child = unlink_child(agent, pid);

		if (child)
			child->fn(child->data, status);
		free(child);
	}
}
