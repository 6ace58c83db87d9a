/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler/load.h"

#include <math.h>
#include <stddef.h>

#define SLOW_SAMPLES 32

/*
 * MOSIX: DECAY 5, NEW_DATA 3 of 8 where it rises in the node's own view; 7 of 8
 * where it falls in the view of others (values as in Kerrighed's mosix_probe.c, by
 * A. Shiloh and A. Barak). One sample a second: time constants 2.1 s and 7.5 s.
 */
void sched_meter_add(struct sched_meter *meter, double sample)
{
	if (!(sample >= 0))
		return;
	if (sample > meter->mean)
		meter->mean = (5 * meter->mean + 3 * sample) / 8;
	else
		meter->mean = sample;
	if (sample >= meter->upper)
		meter->upper = sample;
	else
		meter->upper = (7 * meter->upper + sample) / 8;
	meter->slow += (sample - meter->slow) / SLOW_SAMPLES;
}

double sched_meter_here(const struct sched_meter *meter)
{
	return fmin(meter->mean, meter->slow);
}

double sched_meter_told(const struct sched_meter *meter)
{
	return fmax(meter->upper, meter->slow);
}

/* The place of a node among a job's traffic; the least of all when it is new. */
static struct sched_traffic *traffic_with(struct sched_job *job, uint64_t node)
{
	struct sched_traffic *least = &job->traffic[0];
	unsigned i;

	for (i = 0; i < SCHED_TRAFFIC; i++) {
		if (job->traffic[i].node == node)
			return &job->traffic[i];
		if (job->traffic[i].rate < least->rate)
			least = &job->traffic[i];
	}
	return least;
}

static void sample_traffic(struct sched_job *job, const struct sched_traffic *seen,
			   double work)
{
	struct sched_traffic *traffic = traffic_with(job, seen->node);
	double rate = seen->rate / work;

	if (!(rate > 0 && rate < SCHED_MAX_RATE))
		return;
	if (traffic->node != seen->node) {
		if (rate <= traffic->rate)
			return;
		*traffic = (struct sched_traffic){ .node = seen->node };
	}
	/* It has just been made smaller, as all of them. */
	traffic->rate += 3 * rate / 8;
}

void sched_job_sample(struct sched_job *job, const struct sched_sample *sample)
{
	double work = sample->cpu * sample->speed;
	unsigned i;

	if (!(sample->interval > 0) || !(work >= 0) || isinf(work))
		return;
	job->age += work;
	job->use = (5 * job->use + 3 * sample->cpu / sample->interval) / 8;
	/* Who gets little CPU time says little about traffic per CPU second. */
	if (work < sample->interval / 100)
		return;
	for (i = 0; i < SCHED_TRAFFIC; i++)
		job->traffic[i].rate *= 5.0 / 8;
	for (i = 0; i < SCHED_TRAFFIC; i++)
		sample_traffic(job, &sample->bytes[i], work);
}

unsigned sched_class(double age)
{
	unsigned class = 0;
	double limit = 1;

	while (class < SCHED_CLASSES - 1 && age >= limit) {
		class++;
		limit *= 2;
	}
	return class;
}

double sched_class_age(unsigned class)
{
	return class == 0 ? 0.5 : (double)(1u << (class - 1));
}

void sched_node_add(struct sched_node *node, const struct sched_job *job)
{
	node->load[sched_class(job->age)] += job->use;
	node->mem_free = fmax(0, node->mem_free - job->mem);
	node->jobs++;
}

void sched_node_remove(struct sched_node *node, const struct sched_job *job)
{
	double *load = &node->load[sched_class(job->age)];

	*load = fmax(0, *load - job->use);
	node->mem_free = fmin(node->mem_total, node->mem_free + job->mem);
	if (node->jobs)
		node->jobs--;
}

double sched_node_load(const struct sched_node *node)
{
	double sum = node->others;
	unsigned i;

	for (i = 0; i < SCHED_CLASSES; i++)
		sum += node->load[i];
	return sum;
}

struct range {
	size_t at; /* of the double in its structure */
	double min, max;
	const char *name;
};

#define NODE(field, min, max) { offsetof(struct sched_node, field), min, max, #field }
#define JOB(field, min, max) { offsetof(struct sched_job, field), min, max, #field }

static const struct range node_ranges[] = {
	NODE(cpus, 1.0 / 64, SCHED_MAX_CPUS),
	NODE(speed, SCHED_MIN_SPEED, SCHED_MAX_SPEED),
	NODE(run, 0, SCHED_MAX_LOAD),
	NODE(others, 0, SCHED_MAX_LOAD),
	NODE(mem_total, 1, SCHED_MAX_BYTES),
	NODE(mem_free, 0, SCHED_MAX_BYTES),
	NODE(pressure, 0, 1),
	NODE(net_rate, 0, SCHED_MAX_RATE),
	NODE(net_max, 0, SCHED_MAX_RATE),
};

static const struct range job_ranges[] = {
	JOB(age, 0, 1e12),
	JOB(use, 0, SCHED_MAX_CPUS),
	JOB(mem, 0, SCHED_MAX_BYTES),
	JOB(touched, 0, SCHED_MAX_BYTES),
	JOB(dirty, 0, SCHED_MAX_RATE),
	JOB(hot, 0, SCHED_MAX_BYTES),
	JOB(resident, 0, 1e12),
	JOB(tried, 0, 1e12),
};

static int check_range(void *object, const struct range *range, struct err *err)
{
	double *value = (double *)((char *)object + range->at);

	if (isnan(*value))
		return err_set(err, 0, "%s is not a number", range->name);
	/* An infinite or negative claim is a lie or a fault, not a measurement. */
	if (isinf(*value) || *value < 0)
		return err_set(err, 0, "%s is %g", range->name, *value);
	*value = fmin(fmax(*value, range->min), range->max);
	return 0;
}

static int check_ranges(void *object, const struct range *ranges, unsigned count,
			struct err *err)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (check_range(object, &ranges[i], err) < 0)
			return -1;
	return 0;
}

int sched_node_check(struct sched_node *node, struct err *err)
{
	struct range range = { 0, 0, SCHED_MAX_LOAD, "load" };
	unsigned i;

	if (node->id == 0)
		return err_set(err, 0, "a node without an identity");
	if (!isfinite(node->time))
		return err_set(err, 0, "a node's vector without a time");
	if ((unsigned)node->state >= SCHED_STATES)
		return err_set(err, 0, "state %u of a node is not known",
			       (unsigned)node->state);
	if (check_ranges(node, node_ranges,
			 sizeof(node_ranges) / sizeof(node_ranges[0]), err) < 0)
		return -1;
	for (i = 0; i < SCHED_CLASSES; i++) {
		range.at = offsetof(struct sched_node, load) + i * sizeof(double);
		if (check_range(node, &range, err) < 0)
			return -1;
	}
	node->mem_free = fmin(node->mem_free, node->mem_total);
	if (node->jobs > SCHED_MAX_JOBS)
		node->jobs = SCHED_MAX_JOBS;
	if (node->reserved > SCHED_MAX_JOBS)
		node->reserved = SCHED_MAX_JOBS;
	if (node->slots > SCHED_MAX_JOBS)
		node->slots = SCHED_MAX_JOBS;
	node->flags &= SCHED_NODE_FLAGS;
	return 0;
}

bool sched_job_exclude(struct sched_job *job, uint64_t node)
{
	unsigned i;

	for (i = 0; i < SCHED_NODE_LIST && job->never[i]; i++)
		if (job->never[i] == node)
			return true;
	if (i == SCHED_NODE_LIST)
		return false;
	job->never[i] = node;
	return true;
}

int sched_job_check(struct sched_job *job, struct err *err)
{
	struct range range = { 0, 0, SCHED_MAX_RATE, "traffic" };
	unsigned i;

	if (check_ranges(job, job_ranges,
			 sizeof(job_ranges) / sizeof(job_ranges[0]), err) < 0)
		return -1;
	for (i = 0; i < SCHED_TRAFFIC; i++) {
		range.at = offsetof(struct sched_job, traffic) +
			   i * sizeof(struct sched_traffic) +
			   offsetof(struct sched_traffic, rate);
		if (check_range(job, &range, err) < 0)
			return -1;
	}
	return 0;
}
