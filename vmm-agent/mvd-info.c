/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-info.h"

#include "net/peer.h"
#include "vmm-agent/mvd-protocol.h"

#include <glib.h>

#define ANSWER_MS 2000
#define MOST 1e15 /* more bytes, ms or MiB than any job can have */

struct info {
	struct client *client; /* a reference */
	struct json_object *job;
};

void info_take_figures(struct json_object *job, struct json_object *answer)
{
	static const char *const names[] = {
		"cpu_ms", "cpu_use", "resident", "shares", "dirty_rate", "hot", "traffic",
	};
	struct json_object *figures, *figure;
	size_t i;

	if (!json_object_object_get_ex(answer, "figures", &figures) ||
	    !json_object_is_type(figures, json_type_object))
		return;
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		double number;

		if (!json_object_object_get_ex(figures, names[i], &figure) ||
		    (!json_object_is_type(figure, json_type_int) &&
		     !json_object_is_type(figure, json_type_double)))
			continue;
		number = json_object_get_double(figure);
		if (number >= 0 && number <= MOST)
			json_object_object_add(job, names[i], json_object_get(figure));
	}
}

static void send_info(struct client *client, struct json_object *job)
{
	struct json_object *event = event_new("info");

	json_object_object_add(event, "job", job);
	client_send(client, event);
}

static void on_reply(void *ctx, const struct peer_reply *reply)
{
	struct info *info = ctx;

	if (reply->answer)
		info_take_figures(info->job, reply->answer);
	send_info(info->client, info->job);
	client_unref(info->client);
	g_free(info);
}

void info_send(struct job *job, struct client *client)
{
	struct json_object *body;
	struct info *info;

	if (!job->host || job->lost || job->stage != JOB_UP) {
		send_info(client, job_to_json(job));
		return;
	}
	info = g_new0(struct info, 1);
	info->client = client_ref(client);
	info->job = job_to_json(job);
	body = json_object_new_object();
	event_add_string(body, "op", "figures");
	event_add_string(body, "uuid", job->facts.uuid);
	peer_ask(job->mvd->peers, job->host, body, ANSWER_MS, on_reply, info);
}
