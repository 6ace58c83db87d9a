/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mvsim: a cluster in which the scheduler decides, without the cluster.
 *
 * Theory of operation. Nodes share their CPUs among their jobs in proportion to
 * weights (processor sharing); between events each job runs at a constant rate, so
 * only events are computed. A node whose memory does not hold its jobs is `tau`
 * times slower. A move takes the time, the CPU and the stop that a live migration
 * takes. A method decides where jobs start and go; all of them see the same jobs,
 * arriving at the same moments at the same nodes. What a method's nodes know of each other, they
 * know by gossip, except for the methods that are defined with a central manager.
 *
 * Nothing here depends on addresses, hash orders or the machine: a scenario and a
 * seed determine the output to the last bit.
 */
#ifndef MV_SCHED_MVSIM_H
#define MV_SCHED_MVSIM_H

#include "net/err.h"
#include "scheduler/gossip.h"
#include "scheduler/load.h"
#include "scheduler/mvsim-heap.h"
#include "scheduler/policy.h"
#include "scheduler/predict.h"
#include "scheduler/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_MAX_NODES 100000u
#define SIM_MAX_JOBS 1000000u
#define SIM_NAME_MAX 31
#define SIM_NOBODY UINT32_MAX

struct sim_node_spec {
	char name[SIM_NAME_MAX + 1];
	double cpus, speed, mem;
	double others; /* processes that are no jobs, always runnable */
};

struct sim_job_spec {
	double arrival;
	double demand;  /* CPU seconds at speed 1 */
	double mem;     /* at the start */
	double grow;    /* bytes that are added per CPU second */
	double mem_most; /* up to this */
	double dirty;   /* bytes/s that it changes while it runs */
	double hot;     /* of which memory */
	double io;      /* bytes of home's files per CPU second */
	double talk;    /* bytes per CPU second to and from the peer */
	uint32_t home;  /* node */
	uint32_t peer;  /* job, or SIM_NOBODY */
	uint32_t after; /* starts when that job has ended, or SIM_NOBODY */
	bool pinned;
};

enum sim_what { SIM_FAIL, SIM_RETURN, SIM_DRAIN, SIM_OPEN, SIM_CUT, SIM_HEAL,
		SIM_OTHERS, SIM_LIE, SIM_BOAST, SIM_HIDE, SIM_WHATS };

struct sim_script {
	double at;
	enum sim_what what;
	uint32_t node;
	double value; /* SIM_OTHERS: how many; SIM_LIE, SIM_BOAST: factor of the speed it claims */
};

struct sim_params {
	double tau;         /* slower by this when memory does not suffice */
	struct sched_link link;
	double file_rate;   /* bytes/s of home's files, or a peer's data, over the network */
	double loss;        /* share of datagrams lost */
	double delay;       /* s that one is under way, on average */
	double move_noise;  /* what a move takes differs from the forecast: sigma of a lognormal factor */
	double step;        /* s between two decisions of a node */
	double limit;       /* s after which the simulation is given up */
	unsigned window;    /* of the gossip */
	unsigned known;     /* nodes that a node remembers */
	bool free_moves;    /* moves take no time and cost nothing */
};

struct sim_scenario {
	char name[SIM_NAME_MAX + 1];
	struct sim_params params;
	struct sim_node_spec *nodes;
	struct sim_job_spec *jobs;
	struct sim_script *script;
	uint32_t node_count, job_count, script_count;
	double mem_largest; /* of a node */
};

void sim_scenario_free(struct sim_scenario *scenario);
void sim_params_default(struct sim_params *params);

enum sim_job_state { SIM_PENDING, SIM_WAITING, SIM_RUNNING, SIM_STOPPED, SIM_DONE };

struct sim_job {
	const struct sim_job_spec *spec;
	enum sim_job_state state;
	uint32_t home;    /* where it was typed: another node when that one is down */
	uint32_t node;    /* where it runs */
	uint32_t target;  /* where it is going, or SIM_NOBODY */
	double remaining; /* CPU seconds at speed 1 */
	double attained;
	double weight, rate;
	double mem, reserved; /* has; has reserved at the target */
	double cpu;       /* CPUs it gets now */
	double cap;       /* CPUs it would use alone */
	double used;      /* CPUs it used, smoothed as MOSIX does */
	double since;     /* it came to its node */
	double tried;     /* last attempt to move it, or to make room for it */
	double waits;     /* since then */
	double ended;
	double started;
	uint32_t moves, generation, held_at;
};

struct sim_node {
	const struct sim_node_spec *spec;
	uint32_t *jobs;
	uint32_t job_count, job_room;
	double mem_used, mem_reserved;
	double growth;     /* bytes/s that its jobs grow by, smoothed */
	double others;
	double lie;        /* factor of its speed that it believes in itself */
	double boast;      /* that it tells others, beside */
	unsigned in, out;  /* moves under way */
	unsigned group;    /* of nodes that hear each other */
	bool up, draining, dirty;
	bool hides;        /* it tells others that it has no load */
	uint32_t held;     /* job that room is made for, or SIM_NOBODY */
	double last;       /* jobs have run until */
	uint32_t generation;
	double run_sum, run_from; /* integral of the run queue since the last step */
	double incoming[SCHED_CLASSES]; /* CPU classes of jobs on their way */
	struct sched_meter meter, other_meter;
	struct gossip gossip;
	void *gossip_memory;
};

/* Messages under way. */
struct sim_post {
	struct sim_message {
		uint8_t *bytes;
		size_t len;
		uint32_t from, to;
	} *messages;
	uint32_t count, room;
	uint32_t *unused, unused_count; /* places of those that have arrived */
};

struct sim_stats {
	double slowdown_mean, slowdown_median, slowdown_p95, slowdown_max;
	double makespan, wait_mean, wait_max;
	double over_memory;    /* node seconds with more memory used than there is */
	double draining;       /* node seconds with jobs on a node that is drained */
	double worst_memory;   /* largest share of a node's memory in use */
	uint64_t moves, refused, aborted, lost, unfinished;
	double move_seconds, move_bytes, down_seconds;
	uint64_t forecasts;    /* moves begun, each with a forecast */
	double time_off, down_off, time_bias; /* sums of |log(actual/forecast)|; with its sign */
	uint64_t decisions, messages, bytes;
	double known_age;      /* s, sum over samples of what the first node knows by gossip */
	uint64_t known_samples;
	double balanced_at;    /* s; later no node had more than its share and a job */
	uint32_t most_moves;   /* of one job */
};

struct sim;

struct sim_method {
	const char *name, *what;
	void (*arrive)(struct sim *sim, uint32_t job);
	void (*step)(struct sim *sim, uint32_t node); /* each node, each params.step */
	void (*round)(struct sim *sim); /* a central manager's */
	double round_period;
	bool gossip, weights;
	const void *options;
};

struct sim {
	const struct sim_scenario *scenario;
	const struct sim_method *method;
	struct sched_policy policy;
	struct sched_random random;
	struct sched_random noise; /* of what no decision can know */
	double now;
	struct sim_job *jobs;
	struct sim_node *nodes;
	uint32_t *dirty, dirty_count;
	uint32_t *waiting, waiting_count;
	uint32_t *scratch;
	uint64_t *ids;      /* of all nodes, for gossip */
	struct sched_job *vectors; /* of a node's jobs, while a decision is made */
	struct sim_heap heap;
	struct sim_post post;
	uint32_t next_arrival, done, *arrivals;
	bool chained;       /* some jobs start after others */
	bool talking;       /* some wait for the data of others */
	uint32_t started;   /* of the round robin */
	double max_load;    /* seen anywhere, for E-PVM */
	double *state;      /* a method's own, one number per node */
	unsigned held;      /* rounds that a manager's condition has held */
	struct sim_stats stats;
};

/* ---- engine ---- */

int sim_run(const struct sim_scenario *scenario, const struct sim_method *method,
	    const struct sched_policy *policy, uint64_t seed, double *slowdowns,
	    struct sim_stats *stats, struct err *err);

void sim_start(struct sim *sim, uint32_t job, uint32_t node);
/* The job waits, until the method starts it. */
void sim_wait(struct sim *sim, uint32_t job);
/* False when the target cannot take it: down, unreachable, or one is coming or
 * going already. Memory is the method's business. */
bool sim_move(struct sim *sim, uint32_t job, uint32_t target);

/* ---- what an agent can measure ---- */

double sim_run_queue(const struct sim_node *node);
/* Without the job, a node's memory that is neither used nor promised. */
double sim_free(const struct sim *sim, uint32_t node);
void sim_vector(struct sim *sim, uint32_t node, struct sched_node *vector);
/* What it tells others. */
void sim_told(struct sim *sim, uint32_t node, struct sched_node *vector);
void sim_job_vector(struct sim *sim, uint32_t job, struct sched_job *vector);
static inline uint64_t sim_id(uint32_t node)
{
	return (uint64_t)node + 1;
}
static inline uint32_t sim_of_id(uint64_t id)
{
	return (uint32_t)(id - 1);
}

/* ---- parts of the engine ---- */

void sim_touch(struct sim *sim, uint32_t node); /* its rates have to be computed anew */
void sim_advance(struct sim *sim, uint32_t node);
void sim_rates(struct sim *sim, uint32_t node);
void sim_attach(struct sim *sim, uint32_t job, uint32_t node);
void sim_detach(struct sim *sim, uint32_t job);
void sim_move_stop(struct sim *sim, const struct sim_event *event);
void sim_move_end(struct sim *sim, const struct sim_event *event);
void sim_move_abort(struct sim *sim, uint32_t job);
/* It is typed now, and the method decides. */
void sim_arrive(struct sim *sim, uint32_t job);
void sim_grow_memory(struct sim *sim, uint32_t node);
void sim_watch(struct sim *sim);
void sim_node_reset(struct sim *sim, uint32_t node); /* its agent starts anew */
void sim_script_run(struct sim *sim, const struct sim_script *script);
void sim_gossip_step(struct sim *sim, uint32_t node);
void sim_message_arrive(struct sim *sim, uint32_t message);
void sim_post_free(struct sim *sim);
bool sim_reachable(const struct sim *sim, uint32_t a, uint32_t b);

enum sim_kind { SIM_EV_DONE, SIM_EV_WATCH, SIM_EV_STEP, SIM_EV_ROUND, SIM_EV_STOP, SIM_EV_MOVED,
		SIM_EV_SCRIPT, SIM_EV_MESSAGE };

#endif
