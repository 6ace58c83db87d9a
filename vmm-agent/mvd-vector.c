/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-vector.h"

#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-protocol.h"

#include <string.h>

static void add_real(struct json_object *object, const char *name, double value)
{
	json_object_object_add(object, name, json_object_new_double(value));
}

static double real_of(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    (!json_object_is_type(value, json_type_double) &&
	     !json_object_is_type(value, json_type_int)))
		return 0;
	return json_object_get_double(value);
}

static const char *text_of(struct json_object *object, const char *name)
{
	struct json_object *value;

	if (!json_object_object_get_ex(object, name, &value) ||
	    !json_object_is_type(value, json_type_string))
		return "";
	return json_object_get_string(value);
}

/* Where it talks to, as names: numbers of nodes are each agent's own affair. */
void vector_write(struct mvd *mvd, const struct sched_job *job, double expected,
		  struct json_object *body)
{
	struct json_object *vector = json_object_new_object();
	struct json_object *traffic = json_object_new_object();
	g_autofree char *cpu = g_strdup_printf("%llx", (unsigned long long)job->cpu);
	unsigned i;

	add_real(vector, "age", job->age);
	add_real(vector, "use", job->use);
	add_real(vector, "mem", job->mem);
	add_real(vector, "touched", job->touched);
	add_real(vector, "dirty", job->dirty);
	event_add_number(vector, "qemu", job->qemu);
	event_add_string(vector, "cpu", cpu);
	for (i = 0; i < SCHED_TRAFFIC; i++) {
		const char *name = job->traffic[i].rate > 0 ?
			mvd_gossip_name(mvd, job->traffic[i].node) : NULL;

		if (name)
			add_real(traffic, name, job->traffic[i].rate);
	}
	json_object_object_add(vector, "traffic", traffic);
	json_object_object_add(body, "vector", vector);
	if (expected > 0)
		add_real(body, "expected", expected);
}

static void read_traffic(struct json_object *vector, struct sched_job *job)
{
	struct json_object *traffic;
	unsigned n = 0;

	if (!json_object_object_get_ex(vector, "traffic", &traffic) ||
	    !json_object_is_type(traffic, json_type_object))
		return;
	json_object_object_foreach(traffic, name, value) {
		if (n == SCHED_TRAFFIC)
			break;
		job->traffic[n].node = mvd_gossip_id(name);
		job->traffic[n++].rate = json_object_get_double(value);
	}
}

bool vector_read(struct json_object *body, const char *home, struct sched_job *job)
{
	struct json_object *vector;
	double qemu;

	memset(job, 0, sizeof(*job));
	if (!json_object_object_get_ex(body, "vector", &vector) ||
	    !json_object_is_type(vector, json_type_object))
		return false;
	job->home = mvd_gossip_id(home);
	job->age = real_of(vector, "age");
	job->use = real_of(vector, "use");
	job->mem = real_of(vector, "mem");
	job->touched = real_of(vector, "touched");
	job->dirty = real_of(vector, "dirty");
	qemu = real_of(vector, "qemu");
	job->qemu = qemu > 0 && qemu < UINT32_MAX ? (uint32_t)qemu : 0;
	job->cpu = g_ascii_strtoull(text_of(vector, "cpu"), NULL, 16);
	read_traffic(vector, job);
	return sched_job_check(job, NULL) == 0;
}

double vector_expected(struct json_object *body)
{
	return real_of(body, "expected");
}
