/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvctl.h"

#include "net/cleanup.h"

#include <errno.h>
#include <string.h>

#define ANSWER_MS 70000 /* an agent that waits for libvirt gives up earlier */

struct json_object *request_new(const char *op)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "op", json_object_new_string(op));
	return request;
}

static int check_answer(struct json_object *answer, struct err *err)
{
	char text[320], hint[128];

	if (strcmp(agent_string(answer, "event"), "error") != 0)
		return 0;
	print_clean(text, sizeof(text), agent_string(answer, "text"));
	print_clean(hint, sizeof(hint), agent_string(answer, "hint"));
	if (*hint)
		return err_set(err, 0, "%s (%s)", text, hint);
	return err_set(err, 0, "%s", text);
}

static bool is_on_the_way(struct json_object *answer)
{
	const char *event = agent_string(answer, "event");

	return strcmp(event, "phase") == 0 || strcmp(event, "progress") == 0;
}

/* The answer to a request, past any progress the agent reports. */
static struct json_object *receive(struct agent *agent,
				   void (*progress)(void *ctx,
						    struct json_object *event),
				   void *ctx, struct err *err)
{
	struct json_object *answer = NULL;
	int fd = -1, rc;

	for (;;) {
		rc = agent_receive(agent, ANSWER_MS, &answer, &fd, err);
		cleanup_fd_(&fd);
		if (rc <= 0 || !is_on_the_way(answer))
			break;
		if (progress)
			progress(ctx, answer);
		json_object_put(answer);
		answer = NULL;
	}
	if (rc == 0)
		err_set(err, ETIMEDOUT, "the agent at %s does not answer",
			agent_socket(agent));
	if (rc > 0 && check_answer(answer, err) == 0)
		return answer;
	json_object_put(answer);
	return NULL;
}

struct json_object *ask_on_the_way(struct json_object *request,
				   void (*progress)(void *ctx,
						    struct json_object *event),
				   void *ctx, struct err *err)
{
	struct json_object *answer = NULL;
	struct agent *agent;

	if (agent_connect(&agent, AGENT_OF_OTHERS, "mvctl", err) == 0) {
		if (agent_send(agent, request, err) == 0)
			answer = receive(agent, progress, ctx, err);
		agent_free(agent);
	}
	json_object_put(request);
	return answer;
}

struct json_object *ask(struct json_object *request, struct err *err)
{
	return ask_on_the_way(request, NULL, NULL, err);
}
