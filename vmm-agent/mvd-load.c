/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-load.h"

#include "net/peer.h"
#include "vmm-agent/mvd-arrive.h"
#include "vmm-agent/mvd-dirty.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-limits.h"
#include "vmm-agent/mvd-load-process.h"
#include "vmm-agent/mvd-measure.h"
#include "vmm-agent/mvd-node.h"
#include "vmm-agent/mvd-probe.h"
#include "vmm-agent/mvd-scheduler.h"
#include "vmm-agent/mvd-weigh.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LONG_AGO 1e9
#define NET_USUAL 125e6 /* bytes/s, where nothing is known of the wire */
#define BUSY 0.95       /* of the processors: from here on tasks wait */
#define KVM_EXTRA 48    /* MiB that QEMU has beside the guest's memory */
#define TCG_EXTRA (KVM_EXTRA + DOMAIN_TRANSLATIONS)
#define USUAL 256       /* MiB that most jobs touch */
#define FRESH_S 8.0     /* a job this young has not touched all it will */
#define MIB 1048576.0

struct rate {
	uint64_t last;
	double value;
};

struct load {
	struct mvd *mvd;
	struct limits limits;
	struct weigh weigh;
	struct dirty dirty;
	struct owner owner;
	GHashTable *jobs;     /* struct load_job by uuid */
	GHashTable *expected; /* struct sched_job by uuid */
	double speed, cpus;
	double sampled;       /* when */
	uint64_t used;        /* ns of CPU time, node or machine */
	struct sched_meter others, running;
	struct rate net;
	double net_max; /* bytes/s */
	double pressure;
};

/* Speed, measured once per boot of the machine */

static char *boot_id(void)
{
	char *text = NULL;

	if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
		g_strstrip(text);
	return text;
}

static double speed_of(const struct mvd *mvd)
{
	g_autofree char *path = g_build_filename(mvd->config.state_dir, "speed", NULL);
	g_autofree char *boot = boot_id(), *text = NULL, *now = NULL;
	double speed = 0;

	if (boot && g_file_get_contents(path, &text, NULL, NULL) &&
	    g_str_has_prefix(text, boot))
		speed = g_ascii_strtod(text + strlen(boot), NULL);
	if (speed >= SCHED_MIN_SPEED && speed <= SCHED_MAX_SPEED)
		return speed;
	speed = CLAMP(measure_speed(), SCHED_MIN_SPEED, SCHED_MAX_SPEED);
	now = g_strdup_printf("%s %.4f\n", boot ? boot : "-", speed);
	if (boot && !g_file_set_contents(path, now, -1, NULL))
		g_info("cannot write %s", path);
	return speed;
}

static double cpus_of(const struct load *load)
{
	double limit = limits_cpus(&load->limits), cpus = node_cpus();
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
		cpus = CPU_COUNT(&set);
	return limit > 0 ? fmin(limit, cpus) : cpus;
}

static void job_free(void *p)
{
	struct load_job *seen = p;

	g_free(seen->trouble);
	g_free(seen);
}

struct load *load_new(struct mvd *mvd)
{
	struct load *load = g_new0(struct load, 1);

	load->mvd = mvd;
	limits_find(&load->limits);
	load->weigh = (struct weigh){ .mvd = mvd, .v2 = load->limits.cpu.v2 };
	load->dirty.mvd = mvd;
	load->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, job_free);
	load->expected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	load->speed = speed_of(mvd);
	load->net_max = measure_net_capacity("/sys/class/net");
	if (load->net_max <= 0)
		load->net_max = NET_USUAL;
	load->cpus = cpus_of(load);
	return load;
}

void load_free(struct load *load)
{
	g_hash_table_unref(load->jobs);
	g_hash_table_unref(load->expected);
	limits_clear(&load->limits);
	g_free(load);
}

/* Jobs */

static bool is_here(const struct job *job)
{
	return job_is_here(job) && !job->mvrun_gone && !job->unplaced &&
	       job->stage != JOB_GONE;
}

uint64_t load_cpu_bit(const struct mvd *mvd, enum accel accel)
{
	const char *model = virt_facts(mvd->virt)->kvm_cpu;

	/* Every node can emulate; under KVM only the same model is certain. */
	if (accel != ACCEL_KVM)
		return 1;
	return model ? UINT64_C(1) << (1 + mvd_gossip_id(model) % 63) : 0;
}

static void name_nodes(uint64_t *list, const char *names)
{
	g_auto(GStrv) words = g_strsplit(names ? names : "", ",", -1);
	unsigned i, n = 0;

	for (i = 0; words[i] && n < SCHED_NODE_LIST; i++)
		if (*g_strstrip(words[i]))
			list[n++] = mvd_gossip_id(words[i]);
}

void load_lists(const struct job_facts *facts, struct sched_job *vector)
{
	memset(vector->only, 0, sizeof(vector->only));
	memset(vector->never, 0, sizeof(vector->never));
	name_nodes(vector->only, facts->only);
	name_nodes(vector->never, facts->never);
}

/* With what QEMU takes for itself; an emulator keeps its translations. */
static double load_memory(const struct job_facts *facts, enum accel accel)
{
	return (facts->memory + (accel == ACCEL_KVM ? KVM_EXTRA : TCG_EXTRA)) * MIB;
}

void load_newcomer(const struct mvd *mvd, const struct job_facts *facts,
		   struct sched_job *vector)
{
	uint64_t home = mvd_gossip_id(facts->home ? facts->home : mvd->node);

	enum accel accel = facts->accel == ACCEL_AUTO ? probe_accel(mvd->probe) :
							facts->accel;

	*vector = (struct sched_job){
		.id = 1 + (uint64_t)facts->pid,
		.home = home,
		.owner = facts->uid,
		.use = facts->cpus ? facts->cpus : 1,
		.mem = load_memory(facts, accel),
		.touched = fmin(facts->memory, 96) * MIB,
		.resident = 0,
		.tried = LONG_AGO,
		.qemu = (uint32_t)virt_facts(mvd->virt)->qemu_version,
		.pinned = facts->pin || facts->stay_home,
	};
	/* What it is said to do, until it is seen to do something. */
	if (facts->kind == JOB_IO_BOUND) {
		vector->use = 0.25;
		vector->traffic[0] = (struct sched_traffic){ home, NET_USUAL };
	}
	load_lists(facts, vector);
}

static struct load_job *job_new(struct load *load, struct job *job, double now)
{
	struct load_job *seen = g_new0(struct load_job, 1);

	load_newcomer(load->mvd, &job->facts, &seen->vector);
	seen->vector.age = (double)job->facts.age_ms / 1000;
	seen->use = seen->vector.use;
	seen->dirty = -1;
	seen->came = now;
	seen->tried = now - LONG_AGO;
	/* Where it is booted, that is no work of the program's. */
	if (job->facts.started)
		seen->base = 1;
	return seen;
}

static void sample_memory(struct load_job *seen, double interval)
{
	double now = load_process_resident(seen->pid), grown = now - seen->resident;

	if (now <= 0)
		return;
	if (seen->resident > 0 && interval > 0)
		seen->growth += 3.0 / 8 * (grown / interval - seen->growth);
	seen->resident = now;
	/* What QEMU has for itself stays where it is. */
	seen->vector.touched = fmin(now, seen->job->facts.memory * MIB);
}

/* Demand over the last few samples: a thread that waits long is counted late. */
static double demand_of(struct load_job *seen, double now, uint64_t run, uint64_t wait)
{
	const unsigned n = G_N_ELEMENTS(seen->ring);
	unsigned oldest = seen->ring_next < n ? 0 : seen->ring_next % n;
	double at = seen->ring[oldest].at;
	double used = (double)(run - MIN(run, seen->ring[oldest].run)) +
		      (double)(wait - MIN(wait, seen->ring[oldest].wait));
	unsigned newest = seen->ring_next++ % n;

	seen->ring[newest].run = run;
	seen->ring[newest].wait = wait;
	seen->ring[newest].at = now;
	if (at == 0 || now - at < 0.2)
		return -1;
	return fmin(used / 1e9 / (now - at), seen->vcpu_count);
}

static void sample_traffic(struct load_job *seen, struct sched_sample *sample)
{
	const struct job *job = seen->job;
	uint64_t total = job->foreign ? seen->told_traffic : load_deputy_traffic(job);

	/* What is said to be bound by its CPU goes where CPUs are, whatever it reads. */
	if (total > seen->traffic && seen->traffic &&
	    seen->job->facts.kind != JOB_CPU_BOUND)
		sample->bytes[0] = (struct sched_traffic){
			seen->vector.home, (double)(total - seen->traffic) };
	if (total)
		seen->traffic = total;
}

/* The last place of the list is kept for it: measured traffic comes and goes. */
static void seek_near(struct load_job *seen)
{
	struct sched_traffic *last = &seen->vector.traffic[SCHED_TRAFFIC - 1];
	const char *node = seen->job->foreign ? NULL : load_near(seen->job);
	uint64_t near = node ? mvd_gossip_id(node) : seen->job->foreign ? seen->near : 0;

	*last = (struct sched_traffic){ near, near ? LOAD_NEAR_RATE : 0 };
}

static void sample_processors(struct load *load, struct load_job *seen, double now,
			      double interval)
{
	struct sched_sample sample = { .interval = interval, .speed = load->speed };
	struct sched_job *vector = &seen->vector;
	uint64_t run = 0, wait = 0;
	double demand;

	if (!load_process_time(seen, &run, &wait)) {
		seen->pid = 0;
		return;
	}
	if (seen->job->facts.started && !seen->base)
		seen->base = run;
	demand = demand_of(seen, now, run, wait);
	sample.cpu = seen->sampled && run >= seen->run ?
		     (double)(run - seen->run) / 1e9 : 0;
	seen->run = run;
	sample_traffic(seen, &sample);
	sched_job_sample(vector, &sample);
	vector->age = (double)load_age_ms(load, seen->job) / 1000;
	seek_near(seen);
	if (demand >= 0)
		seen->use += 3.0 / 8 * (demand - seen->use);
	/* Until it has run for a moment it is what it was said to be. */
	if (seen->job->facts.started)
		vector->use = seen->use;
	vector->dirty = dirty_rate(seen);
	seen->sampled = true;
}

uint64_t load_age_ms(struct load *load, const struct job *job)
{
	const struct load_job *seen = load_job(load, job);
	double here = 0;

	if (seen && seen->base && seen->run > seen->base)
		here = (double)(seen->run - seen->base) / 1e6 * load->speed;
	return job->facts.age_ms + (uint64_t)here;
}

static void sample_job(struct load *load, struct job *job, double now, double interval)
{
	struct load_job *seen = g_hash_table_lookup(load->jobs, job->facts.uuid);

	if (!seen) {
		seen = job_new(load, job, now);
		g_hash_table_insert(load->jobs, g_strdup(job->facts.uuid), seen);
	}
	seen->job = job;
	seen->seen = true;
	seen->vector.cpu = load_cpu_bit(load->mvd, job->facts.accel);
	seen->vector.mem = fmax(load_memory(&job->facts, job->facts.accel),
				seen->resident);
	seen->vector.pinned = job->facts.pin || job->facts.stay_home;
	load_process_find(load->mvd, seen, now);
	if (!seen->pid)
		return;
	sample_memory(seen, interval);
	sample_processors(load, seen, now, interval);
}

static gboolean forget_unseen(gpointer key, gpointer value, gpointer ctx)
{
	struct load_job *seen = value;
	bool gone = !seen->seen;

	(void)key;
	(void)ctx;
	seen->seen = false;
	return gone;
}

static void sample_jobs(struct load *load, double now, double interval)
{
	struct job *job;
	GHashTableIter iter;

	g_hash_table_iter_init(&iter, load->mvd->jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job))
		if (is_here(job))
			sample_job(load, job, now, interval);
	g_hash_table_foreach_remove(load->jobs, forget_unseen, NULL);
}

/* The rest of the node */

static void rate_add(struct rate *rate, uint64_t total, double interval)
{
	if (rate->last && total >= rate->last && interval > 0)
		rate->value += 3.0 / 8 * ((double)(total - rate->last) / interval -
					  rate->value);
	rate->last = total;
}

static void sample_network(struct load *load, double interval)
{
	g_autofree char *text = NULL;

	if (g_file_get_contents("/proc/net/dev", &text, NULL, NULL))
		rate_add(&load->net, measure_net(text), interval);
}

static double jobs_use(const struct load *load)
{
	struct load_job *seen;
	GHashTableIter iter;
	double sum = 0;

	g_hash_table_iter_init(&iter, load->jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		sum += seen->vector.use;
	return sum;
}

/* CPU time of the node, ns, and what can run on the machine. */
static uint64_t cpu_used(const struct load *load, unsigned *running)
{
	uint64_t used = limits_cpu_used(&load->limits), busy = 0;
	g_autofree char *text = NULL;
	long ticks = sysconf(_SC_CLK_TCK);

	*running = 0;
	if (!g_file_get_contents("/proc/stat", &text, NULL, NULL) ||
	    !measure_stat(text, &busy, running))
		*running = 0;
	if (used != MEASURE_UNKNOWN) {
		*running = 0; /* is the machine's */
		return used;
	}
	return ticks > 0 ? busy * (1000000000 / (uint64_t)ticks) : 0;
}

static void sample_others(struct load *load, double interval, double jobs_ran)
{
	unsigned running;
	uint64_t used = cpu_used(load, &running);
	double busy = load->used && used >= load->used && interval > 0 ?
		      (double)(used - load->used) / 1e9 / interval : 0;
	double others = fmax(busy - jobs_ran, 0);

	/* With processors to spare nobody waits, so what is used is what is wanted. */
	if (running > 1 && busy > BUSY * load->cpus)
		others = fmax(others, running - 1 - jobs_use(load));
	load->used = used;
	sched_meter_add(&load->others, others);
	sched_meter_add(&load->running, running ? running - 1 : others + jobs_use(load));
}

/* CPUs that the jobs' virtual processors had since the last sample. */
static double jobs_time(const struct load *load)
{
	struct load_job *seen;
	GHashTableIter iter;
	double sum = 0;

	g_hash_table_iter_init(&iter, load->jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		sum += (double)seen->run / 1e9;
	return sum;
}

void load_sample(struct load *load)
{
	double now = mvd_gossip_now(), interval = load->sampled ? now - load->sampled : 0;
	double before = jobs_time(load), after;

	/* The meters are made for a sample a second. */
	if (load->sampled && interval < 0.5)
		return;
	load->sampled = now;
	sample_jobs(load, now, interval);
	weigh_jobs(&load->weigh, load->jobs);
	if (peers_in_cluster(load->mvd->peers))
		dirty_jobs(&load->dirty, load->jobs, now);
	after = jobs_time(load);
	sample_others(load, interval,
		      interval > 0 ? fmax(after - before, 0) / interval : 0);
	sample_network(load, interval);
	load->pressure = limits_pressure(&load->limits);
	load->cpus = cpus_of(load);
	if (load->mvd->config.settings.in_use == SETTINGS_AUTO)
		owner_look(&load->owner, now, time(NULL));
}

bool load_in_use(const struct load *load)
{
	const struct mvd_settings *settings = &load->mvd->config.settings;

	return settings->in_use == SETTINGS_YES ||
	       (settings->in_use == SETTINGS_AUTO &&
		owner_idle(&load->owner, mvd_gossip_now()) < settings->owner_idle);
}

struct owner *load_owner(struct load *load)
{
	return &load->owner;
}

/* What is promised: jobs on their way here, and what new ones will still touch. */
static double promised(struct load *load, struct sched_node *node)
{
	struct arrivals *arrivals = load->mvd->jobs->arrivals;
	double now = mvd_gossip_now(), sum = 0;
	struct sched_job *vector;
	struct load_job *seen;
	GHashTableIter iter;
	const char *uuid;

	g_hash_table_iter_init(&iter, load->expected);
	while (g_hash_table_iter_next(&iter, (void **)&uuid, (void **)&vector)) {
		if (!arrivals_expects(arrivals, uuid)) {
			g_hash_table_iter_remove(&iter);
			continue;
		}
		node->load[sched_class(vector->age)] += vector->use;
		node->reserved++;
	}
	g_hash_table_iter_init(&iter, load->jobs);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&seen))
		if (now - seen->came < FRESH_S)
			sum += fmax(0, fmin(seen->vector.mem, USUAL * MIB) - seen->resident);
	return sum;
}

/* Also what those need that nobody has looked at yet. */
static double fill_jobs(struct load *load, struct sched_node *node)
{
	struct sched_job newcomer;
	double needed = 0;
	struct load_job *seen;
	GHashTableIter iter;
	struct job *job;

	g_hash_table_iter_init(&iter, load->mvd->jobs->by_uuid);
	while (g_hash_table_iter_next(&iter, NULL, (void **)&job)) {
		if (!is_here(job))
			continue;
		seen = load_job(load, job);
		if (!seen)
			load_newcomer(load->mvd, &job->facts, &newcomer);
		needed += seen ? 0 : fmin(newcomer.mem, USUAL * MIB);
		node->load[sched_class(seen ? seen->vector.age : 0)] +=
			seen ? seen->vector.use : newcomer.use;
		node->jobs++;
		if (job->migration)
			node->flags |= SCHED_SENDING;
	}
	return needed;
}

static void fill_memory(struct load *load, struct sched_node *node, double needed)
{
	struct node_memory memory;
	unsigned limit;

	node_memory(&memory);
	limit = node_limit(load->mvd, memory.total);
	node->mem_total = (limit ? MIN(limit, memory.total) : memory.total) * MIB;
	node->mem_free = fmax(0, node_room(load->mvd) * MIB - needed -
				promised(load, node));
	node->mem_free = fmin(node->mem_free, node->mem_total);
}

void load_node(struct load *load, struct sched_node *node, bool told)
{
	const struct mvd *mvd = load->mvd;
	const struct mvd_settings *settings = &mvd->config.settings;

	*node = (struct sched_node){
		.id = mvd_gossip_id(mvd->node),
		.time = mvd_gossip_now(),
		.cpus = load->cpus,
		.speed = load->speed,
		.run = load->running.upper,
		.others = told ? sched_meter_told(&load->others) :
				 sched_meter_here(&load->others),
		.pressure = load->pressure,
		.net_rate = fmin(load->net.value, load->net_max),
		.net_max = load->net_max,
		.slots = settings->slots,
		.qemu = (uint32_t)virt_facts(mvd->virt)->qemu_version,
		.cpu = 1,
		.state = settings->drain ? SCHED_DRAINING :
			 settings->block ? SCHED_BLOCKED : SCHED_OPEN,
		.flags = (settings->stay ? SCHED_STAY : 0) |
			 (load_in_use(load) ? SCHED_OWNER_ACTIVE : 0) |
			 (room_is_kept(mvd) ? SCHED_MAKING : 0),
	};
	if (probe_accel(mvd->probe) == ACCEL_KVM)
		node->cpu |= load_cpu_bit(mvd, ACCEL_KVM);
	if (arrivals_memory(mvd->jobs->arrivals) > 0)
		node->flags |= SCHED_TAKING;
	fill_memory(load, node, fill_jobs(load, node));
}

struct weigh *load_weigh(struct load *load)
{
	return &load->weigh;
}

struct dirty *load_dirty(struct load *load)
{
	return &load->dirty;
}

struct load_job *load_job(struct load *load, const struct job *job)
{
	struct load_job *seen = g_hash_table_lookup(load->jobs, job->facts.uuid);

	return seen && seen->job == job ? seen : NULL;
}

GPtrArray *load_jobs(struct load *load)
{
	g_autoptr(GPtrArray) list = jobs_list(load->mvd->jobs);
	GPtrArray *jobs = g_ptr_array_new();
	unsigned i;

	for (i = 0; i < list->len; i++) {
		struct job *job = list->pdata[i];
		struct load_job *seen = is_here(job) ? load_job(load, job) : NULL;

		if (seen && job->stage == JOB_UP && job->facts.started)
			g_ptr_array_add(jobs, seen);
	}
	return jobs;
}

/* One that has just begun grows by its boot. */
static double growth_of(const struct load_job *seen, double seconds)
{
	double room = fmax(seen->vector.mem - seen->resident, 0);

	if (mvd_gossip_now() - seen->came < FRESH_S || seconds <= 0)
		return 0;
	return fmax(0, fmin(seen->growth, room / seconds));
}

double load_growth(struct load *load, double seconds)
{
	g_autoptr(GPtrArray) list = load_jobs(load);
	double sum = 0;
	unsigned i;

	for (i = 0; i < list->len; i++)
		sum += growth_of(list->pdata[i], seconds);
	return sum;
}

void load_vector(const struct load_job *seen, struct sched_job *vector)
{
	double now = mvd_gossip_now();

	*vector = seen->vector;
	vector->resident = now - seen->came;
	vector->tried = now - seen->tried;
}

void load_expect(struct load *load, const char *uuid, const struct sched_job *vector)
{
	if (vector)
		g_hash_table_replace(load->expected, g_strdup(uuid),
				     g_memdup2(vector, sizeof(*vector)));
	else
		g_hash_table_remove(load->expected, uuid);
}

uint64_t load_deputy_traffic(const struct job *job)
{
	g_autofree char *path = g_strdup_printf("/proc/%ld/io", (long)job->facts.pid);
	g_autofree char *text = NULL;

	if (job->foreign || !g_file_get_contents(path, &text, NULL, NULL))
		return 0;
	return measure_io(text);
}

void load_hear_traffic(struct load *load, const struct job *job, uint64_t bytes)
{
	struct load_job *seen = load_job(load, job);

	if (seen && bytes > seen->told_traffic)
		seen->told_traffic = bytes;
}

void load_hear_near(struct load *load, const struct job *job, const char *node)
{
	struct load_job *seen = load_job(load, job);

	if (seen)
		seen->near = *node ? mvd_gossip_id(node) : 0;
}

const char *load_near(const struct job *job)
{
	const struct job *other = job->facts.near ?
		jobs_find(job->mvd->jobs, job->facts.near) : NULL;

	if (!other || other->mvrun_gone || other->absent)
		return NULL;
	return other->host ? other->host : job->mvd->node;
}
