/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/agent-world.h"
#include "tests/unit/fake-agent.h"

#include "net/peer.h"
#include "vmm-agent/mvd-gossip-private.h"
#include "vmm-agent/mvd-gossip.h"
#include "vmm-agent/mvd-virt-tune.h"

#include <math.h>
#include <unistd.h>

struct world world;

/* ---- gossip: what is known of the others is what the test says ---- */

double mvd_gossip_now(void)
{
	return world.now;
}

uint64_t mvd_gossip_id(const char *name)
{
	unsigned i;

	for (i = 0; i < FAKE_MEMBERS; i++)
		if (strcmp(fake_members[i], name) == 0)
			return i + 1;
	return 1000 + g_str_hash(name);
}

const char *mvd_gossip_name(struct mvd *mvd, uint64_t id)
{
	(void)mvd;
	return id >= 1 && id <= FAKE_MEMBERS ? fake_members[id - 1] : NULL;
}

const struct sched_node *mvd_gossip_nodes(struct mvd *mvd, unsigned *count)
{
	static struct sched_node nodes[2];

	(void)mvd;
	world.beta.time = world.gamma.time = world.now;
	nodes[0] = world.beta;
	nodes[1] = world.gamma;
	*count = world.alone ? 0 : 2;
	return nodes;
}

void mvd_gossip_own(struct mvd *mvd, const struct sched_node *own)
{
	(void)mvd;
	world.told = *own;
}

void mvd_gossip_urgent(struct mvd *mvd)
{
	(void)mvd;
	world.urgent++;
}

void mvd_gossip_note(struct mvd *mvd, const struct sched_node *node)
{
	(void)mvd;
	world.noted++;
	if (node->id == world.beta.id)
		world.beta = *node;
	if (node->id == world.gamma.id)
		world.gamma = *node;
}

void mvd_gossip_roster(struct mvd *mvd)
{
	(void)mvd;
}

void mvd_gossip_start(struct mvd *mvd)
{
	(void)mvd;
}

void mvd_gossip_stop(struct mvd *mvd)
{
	(void)mvd;
}

const char *mvd_gossip_state(struct mvd *mvd, const char *name)
{
	(void)mvd;
	return g_strcmp0(world.dead, name) == 0 ? "dead" : "alive";
}

double mvd_gossip_age(struct mvd *mvd, const char *name)
{
	(void)mvd;
	(void)name;
	return 0;
}

double mvd_gossip_silence(struct mvd *mvd, const char *name)
{
	return mvd_gossip_age(mvd, name);
}

bool mvd_gossip_works(struct mvd *mvd, const char **why)
{
	(void)mvd;
	*why = "";
	return true;
}

struct json_object *mvd_gossip_to_json(struct mvd *mvd)
{
	(void)mvd;
	return NULL;
}

void mesh_take(struct mesh *mesh, struct mesh_peer *peer, enum seal_kind kind,
	       const uint8_t *text, size_t len)
{
	(void)mesh;
	(void)peer;
	(void)kind;
	(void)text;
	(void)len;
}

void mesh_key_changed(struct mesh *mesh)
{
	(void)mesh;
}

/* ---- peers ---- */

bool peers_in_cluster(const struct peers *peers)
{
	(void)peers;
	return !world.alone;
}

void peer_ask(struct peers *peers, const char *node, struct json_object *body,
	      unsigned timeout_ms, peer_reply_fn done, void *ctx)
{
	(void)peers;
	(void)timeout_ms;
	g_free(world.asked);
	g_free(world.asked_op);
	g_free(world.asked_to);
	world.asked = g_strdup(node);
	world.asked_op = g_strdup(world_text(body, "op"));
	world.asked_to = g_strdup(world_text(body, "to"));
	g_string_append_printf(world.questions, "%s@%s ", world.asked_op, node);
	world.reply = done;
	world.reply_ctx = ctx;
	json_object_put(body);
}

void peer_answer(struct peer_question *question, struct json_object *answer)
{
	(void)question;
	world.answer = answer;
}

void peer_refuse(struct peer_question *question, const char *text)
{
	(void)question;
	g_free(world.refusal);
	world.refusal = g_strdup(text);
}

void peer_refuse_with(struct peer_question *question, const char *text,
		      struct json_object *details)
{
	json_object_put(world.details);
	world.details = details;
	peer_refuse(question, text);
}

/* Streams are nobody's here. */
void peer_open(struct peers *peers, const char *node, struct json_object *body,
	       unsigned timeout_ms, peer_opened_fn done, void *ctx)
{
	(void)peers;
	(void)node;
	(void)timeout_ms;
	(void)done;
	(void)ctx;
	json_object_put(body);
	fail();
}

/* ---- moves ---- */

void migrate_begin(struct job *job, const char *to, bool postcopy, migrated_fn done,
		   void *ctx)
{
	(void)postcopy;
	assert_null(world.moving);
	world.moving = job;
	job->migration = (struct migration *)&world;
	g_free(world.to);
	world.to = g_strdup(to);
	world.moved = done;
	world.moved_ctx = ctx;
	world.begun++;
}

void migrate_abort(struct job *job)
{
	(void)job;
}

void migrate_watch_leftover(struct job *job)
{
	(void)job;
}

char *migrate_obstacle(const struct job *job)
{
	return job->facts.pin ? g_strdup("it is pinned") : g_strdup(world.obstacle);
}

bool migrate_progress(const struct job *job, struct migrate_progress *progress)
{
	(void)job;
	(void)progress;
	return false;
}

bool migrate_is_held(const char *point)
{
	(void)point;
	return false;
}

struct json_object *migrated_to_json(const struct migrated *result)
{
	(void)result;
	return json_object_new_object();
}

void world_moved(double seconds, double mib, const char *error)
{
	struct migrated result = { .error = error, .from = "alpha", .to = world.to };
	struct job *job = world.moving;

	assert_non_null(job);
	result.total_ms = (uint64_t)(seconds * 1000);
	result.stats.total_ms = (uint64_t)(seconds * 500);
	result.stats.bytes = (uint64_t)(mib * WORLD_MIB);
	job->migration = NULL;
	world.moving = NULL;
	if (!error)
		job->host = g_strdup(world.to);
	world.moved(world.moved_ctx, &result);
}

/* ---- libvirt: what it is asked for is answered at once ---- */

void virt_set_weight(struct virt *virt, const char *uuid, unsigned shares,
		     virt_weighed_fn done, void *ctx)
{
	struct virt_weighed result = { world.no_group ? "no group" : NULL, world.no_group };

	(void)virt;
	(void)uuid;
	world.weighed++;
	world.shares = shares;
	done(ctx, &result);
}

void virt_dirty_rate(struct virt *virt, const char *uuid, unsigned seconds, virt_dirty_fn done,
		     void *ctx)
{
	double rate = seconds > 1 ? world.rate_long : world.rate;

	(void)virt;
	(void)uuid;
	world.measured++;
	if (!world.measuring)
		done(ctx, rate, rate < 0 ? "it cannot be measured" : NULL);
	else
		g_free(ctx);
}

/* ---- the world ---- */

static struct sched_node peer(uint64_t id)
{
	return (struct sched_node){
		.id = id, .cpus = 1, .speed = 1, .mem_total = 8192 * WORLD_MIB,
		.mem_free = 8000 * WORLD_MIB, .net_max = 125e6, .slots = 512, .cpu = 1,
	};
}

/* As if it had been measured since the machine was booted. */
static void set_speed(const char *dir)
{
	g_autofree char *path = g_build_filename(dir, "speed", NULL);
	g_autofree char *boot = NULL, *text = NULL;

	assert_true(g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL));
	text = g_strdup_printf("%s 1.0\n", g_strstrip(boot));
	assert_true(g_file_set_contents(path, text, -1, NULL));
}

int world_set_up(void **state)
{
	struct mvd *mvd = &world.mvd;
	char dir[] = "/tmp/agent-world.XXXXXX";

	(void)state;
	memset(&world, 0, sizeof(world));
	world.now = 1000;
	world.memory = 8192;
	world.room = 8000;
	world.rate = 1e6;
	world.questions = g_string_new(NULL);
	mvd->node = (char *)"alpha";
	settings_default(&mvd->config.settings);
	mvd->config.configured = mvd->config.settings;
	assert_non_null(mkdtemp(dir));
	set_speed(dir);
	mvd->config.state_dir = g_strdup(dir);
	mvd->config.socket = g_strdup("/nowhere/socket");
	mvd->config.uri = g_strdup("test:///default");
	mvd->virt = virt_new(mvd->config.uri, &fake_virt_handlers, NULL);
	mvd->jobs = jobs_new(mvd);
	scheduler_start(mvd);
	scheduler_wake(mvd);
	world.beta = peer(2);
	world.gamma = peer(3);
	return 0;
}

/* What is still waited for comes to its end, and is freed by whoever waits. */
static void end_what_is_pending(void)
{
	const struct peer_reply reply = { .error = "the world has ended" };
	g_autoptr(GPtrArray) jobs = jobs_list(world.mvd.jobs);
	unsigned i;

	if (world.moving)
		world_moved(1, 1, reply.error);
	for (i = 0; i < jobs->len; i++)
		((struct job *)jobs->pdata[i])->stage = JOB_GONE;
	if (world.reply && (strcmp(world.asked_op, "start") == 0 ||
			    strcmp(world.asked_op, "make-room") == 0))
		world.reply(world.reply_ctx, &reply);
}

int world_tear_down(void **state)
{
	struct mvd *mvd = &world.mvd;
	g_autofree char *speed = g_build_filename(mvd->config.state_dir, "speed", NULL);
	g_autofree char *orders = g_build_filename(mvd->config.state_dir, "orders", NULL);

	(void)state;
	end_what_is_pending();
	scheduler_stop(mvd);
	jobs_free(mvd->jobs);
	virt_free(mvd->virt);
	unlink(speed);
	unlink(orders);
	rmdir(mvd->config.state_dir);
	g_free(mvd->config.state_dir);
	g_free(mvd->config.socket);
	g_free(mvd->config.uri);
	g_free(world.to);
	g_free(world.asked);
	g_free(world.asked_op);
	g_free(world.asked_to);
	g_string_free(world.questions, TRUE);
	g_free(world.refusal);
	json_object_put(world.answer);
	json_object_put(world.details);
	return 0;
}

static struct job *add(const char *name, const char *home)
{
	struct job_facts facts = { .memory = 256, .cpus = 1, .accel = ACCEL_TCG,
				   .incarnation = 1, .attempt = 1 };
	unsigned n = ++world.jobs;
	struct job *job;

	assert_true(n < G_N_ELEMENTS(world.processes));
	snprintf(facts.uuid, sizeof(facts.uuid), "6f6f0000-1111-2222-3333-%012u", n);
	facts.pid = (pid_t)(100 + n);
	facts.start = facts.since = n;
	facts.name = g_strdup(name);
	facts.user = g_strdup("ann");
	facts.command = g_strdup(name);
	facts.home = g_strdup(home);
	facts.agent = g_strdup("");
	facts.from = g_strdup("");
	job = jobs_add(world.mvd.jobs, &facts);
	/* Nobody looks for the processes of their mvruns, which do not exist. */
	g_clear_handle_id(&world.mvd.jobs->tick, g_source_remove);
	return job;
}

struct job *world_newcomer(const char *name)
{
	return add(name, "alpha");
}

struct job *world_guest(const char *name, const char *home)
{
	struct job *job = add(name, home);

	job->stage = JOB_UP;
	job->facts.started = true;
	*world_process(job) = (struct world_process){ .runs = 1, .resident = 200 };
	return job;
}

struct job *world_job(const char *name)
{
	return world_guest(name, "alpha");
}

void world_pass(unsigned seconds)
{
	unsigned i;

	while (seconds-- > 0) {
		GSource *timer;

		world.now += 1;
		world.used += (uint64_t)(world.others * 1e9);
		for (i = 0; i < G_N_ELEMENTS(world.processes); i++) {
			struct world_process *process = &world.processes[i];

			process->run += (uint64_t)(process->runs * 1e9);
			process->wait += (uint64_t)(process->waits * 1e9);
			world.used += (uint64_t)(process->runs * 1e9);
		}
		timer = g_main_context_find_source_by_id(NULL, world.mvd.scheduler->timer);
		assert_non_null(timer);
		g_source_set_ready_time(timer, 0);
		g_main_context_iteration(NULL, FALSE);
	}
}

struct load_job *world_seen(const struct job *job)
{
	struct load_job *seen = load_job(world.mvd.scheduler->load, job);

	assert_non_null(seen);
	return seen;
}

struct sched_node world_self(void)
{
	struct sched_node node;

	load_node(world.mvd.scheduler->load, &node, false);
	return node;
}

const char *world_text(struct json_object *object, const char *field)
{
	struct json_object *value;

	return json_object_object_get_ex(object, field, &value) ?
	       json_object_get_string(value) : "";
}

struct json_object *world_order(const char *action, const char *name, const char *value)
{
	struct json_object *body = json_object_new_object();

	json_object_put(world.answer);
	world.answer = NULL;
	g_clear_pointer(&world.refusal, g_free);
	event_add_string(body, "action", action);
	event_add_string(body, "name", name);
	event_add_string(body, "value", value);
	scheduler_question(&world.mvd, body, NULL);
	json_object_put(body);
	return world.answer;
}
