/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Home decides which copy of a job is the job. No other node is asked here: the
 * questions to peers, and what is to be done to domains, are written down.
 */
#include "vmm-agent/mvd-jobs.h"

#include "net/peer.h"
#include "tests/unit/fake-agent.h"
#include "vmm-agent/mvd-migrate.h"
#include "vmm-agent/mvd-process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define UUID "6f6f0000-1111-2222-3333-000000000001"

/* ---- fake peers: beta and gamma ---- */

struct asked {
	const char *node;
	char *op;
	peer_reply_fn done;
	void *ctx;
};
static struct asked asked[16];
static unsigned n_asked;
static char *answered; /* the verdict of the last claim */

bool peers_in_cluster(const struct peers *peers)
{
	(void)peers;
	return true;
}

void peer_ask(struct peers *peers, const char *node, struct json_object *body,
	      unsigned timeout_ms, peer_reply_fn done, void *ctx)
{
	struct json_object *op;

	(void)peers;
	(void)timeout_ms;
	assert_true(n_asked < G_N_ELEMENTS(asked));
	json_object_object_get_ex(body, "op", &op);
	asked[n_asked++] = (struct asked){
		g_intern_string(node), g_strdup(json_object_get_string(op)),
		done, ctx,
	};
	json_object_put(body);
}

void peer_answer(struct peer_question *question, struct json_object *answer)
{
	struct json_object *verdict;

	assert_non_null(question);
	json_object_object_get_ex(answer, "verdict", &verdict);
	g_free(answered);
	answered = g_strdup(json_object_get_string(verdict));
	json_object_put(answer);
}

void peer_refuse(struct peer_question *question, const char *text)
{
	(void)question;
	fail_msg("refused: %s", text);
}

void peer_refuse_with(struct peer_question *question, const char *text,
		      struct json_object *details)
{
	json_object_put(details);
	peer_refuse(question, text);
}

void peer_open(struct peers *peers, const char *node, struct json_object *body,
	       unsigned timeout_ms, peer_opened_fn done, void *ctx)
{
	(void)peers;
	(void)node;
	(void)timeout_ms;
	json_object_put(body);
	done(ctx, -1, "there is no network");
}

/* Reply to a question; a NULL answer is an error. */
static void reply(unsigned i, const char *answer)
{
	struct peer_reply r = {
		.answer = answer ? json_tokener_parse(answer) : NULL,
		.error = answer ? NULL : "it does not answer",
	};

	assert_true(i < n_asked && asked[i].done);
	asked[i].done(asked[i].ctx, &r);
	asked[i].done = NULL;
	json_object_put(r.answer);
}

static bool was_asked(unsigned i, const char *node, const char *op)
{
	return i < n_asked && strcmp(asked[i].node, node) == 0 &&
	       strcmp(asked[i].op, op) == 0;
}

static void forget_asked(void)
{
	unsigned i;

	for (i = 0; i < n_asked; i++) {
		if (asked[i].done)
			reply(i, NULL);
		g_free(asked[i].op);
	}
	n_asked = 0;
}

/* ---- a home, alpha, with one job ---- */

static struct mvd mvd;

static int set_up(void **state)
{
	(void)state;
	mvd.node = (char *)"alpha";
	mvd.config.socket = g_build_filename(g_get_tmp_dir(),
					     "no-such-agent", "socket", NULL);
	mvd.config.uri = g_strdup("test:///default");
	mvd.virt = virt_new(mvd.config.uri, &fake_virt_handlers, NULL);
	mvd.jobs = jobs_new(&mvd);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	forget_asked();
	g_clear_pointer(&answered, g_free);
	jobs_free(mvd.jobs);
	mvd.jobs = NULL;
	virt_free(mvd.virt);
	g_clear_pointer(&mvd.config.socket, g_free);
	g_clear_pointer(&mvd.config.uri, g_free);
	return 0;
}

/* Of a job whose mvrun is this process. */
static struct job_facts facts_of(unsigned incarnation, unsigned moves)
{
	struct job_facts facts = {
		.uuid = UUID, .pid = getpid(), .uid = getuid(), .memory = 64,
		.cpus = 1, .accel = ACCEL_TCG, .incarnation = incarnation,
		.attempt = incarnation, .moves = moves, .started = true,
	};
	struct process process;

	assert_int_equal(process_read(getpid(), &process, NULL), 0);
	facts.start = process.start;
	facts.agent = g_strdup(mvd.config.socket);
	facts.name = g_strdup("job");
	facts.user = g_strdup("ann");
	facts.command = g_strdup("job");
	facts.home = g_strdup("alpha");
	facts.from = g_strdup(moves ? "alpha" : "");
	return facts;
}

/* The job, to which mvrun has a link, at a host or (NULL) here. */
static struct job *add(const char *host)
{
	struct job_facts facts = facts_of(1, 0);
	struct job *job = jobs_add(mvd.jobs, &facts);

	job->host = g_strdup(host);
	job->stage = JOB_UP;
	job->told = true;
	home_linked(job, 1, true);
	return job;
}

/* A host says that it has this copy. */
static enum verdict judge_facts(const char *host, struct job_facts facts)
{
	g_autofree char *xml = job_facts_to_xml(&facts);
	struct claim claim = { UUID, xml, facts.incarnation, false };
	enum verdict verdict = home_judge(mvd.jobs, host, &claim);

	job_facts_clear(&facts);
	return verdict;
}

static enum verdict judge(const char *host, unsigned incarnation)
{
	return judge_facts(host, facts_of(incarnation, incarnation - 1));
}

static const char *claim(const char *host, unsigned incarnation)
{
	home_claim(mvd.jobs, host, UUID, incarnation,
		   (struct peer_question *)&mvd);
	return answered;
}

static void is_at(const struct job *job, const char *host, unsigned incarnation)
{
	assert_int_equal(job->stage, JOB_UP);
	assert_false(job->absent);
	if (host)
		assert_string_equal(job->host, host);
	else
		assert_null(job->host);
	assert_int_equal(job->facts.incarnation, incarnation);
}

static void is_nowhere(const struct job *job)
{
	assert_int_equal(job->stage, JOB_UP);
	assert_true(job->absent);
	assert_null(job->host);
}

/* ---- which copy is the job ---- */

static void follows_a_move(void **state)
{
	struct job *job = add("beta");
	struct claim brief = { UUID, NULL, 2, false };

	(void)state;
	assert_int_equal(home_judge(mvd.jobs, "gamma", &brief), VERDICT_FACTS);
	is_at(job, "beta", 1);
	assert_int_equal(judge("gamma", 2), VERDICT_KEEP);
	is_at(job, "gamma", 2);
	assert_int_equal(job->facts.moves, 1);
	assert_int_equal(home_judge(mvd.jobs, "gamma", &brief), VERDICT_KEEP);
}

static void knows_why_it_moved(void **state)
{
	struct job *job = add("beta");

	(void)state;
	assert_string_equal(came_text(job), "");
	came_start(job, "beta is best");
	/* It counts when it is there, and not when it stays. */
	home_moving(job, "alpha", 2, "memory is short");
	assert_string_equal(came_text(job), "started at beta: beta is best");
	home_moving(job, "gamma", 2, "memory is short");
	judge("gamma", 2);
	assert_true(g_str_has_prefix(came_text(job), "moved from beta to gamma at 20"));
	assert_true(g_str_has_suffix(came_text(job), ": memory is short"));
	home_moving(job, "beta", 3, "moves to beta: its node is being emptied");
	judge("beta", 3);
	assert_true(g_str_has_prefix(came_text(job), "moved from gamma to beta at 20"));
	assert_true(g_str_has_suffix(came_text(job), ": its node is being emptied"));
	assert_null(strstr(came_text(job), "moves to"));
	/* An older agent gives no reason. */
	home_moving(job, "gamma", 4, "");
	judge("gamma", 4);
	home_moving(job, "beta", 5, "no");
	assert_true(g_str_has_suffix(came_text(job), ": its host has not said why"));
}

/* The old copy may be needed until mvrun has a link to the new one. */
static void keeps_both_until_linked(void **state)
{
	struct job *job = add("beta");

	(void)state;
	judge("gamma", 2);
	assert_int_equal(judge("beta", 1), VERDICT_WAIT);
	assert_string_equal(claim("beta", 3), "wait");
	home_linked(job, 2, true);
	assert_int_equal(judge("beta", 1), VERDICT_DESTROY);
	assert_string_equal(claim("beta", 3), "destroy");
	is_at(job, "gamma", 2);
}

static void goes_back_when_refused(void **state)
{
	struct job *job = add("beta");

	(void)state;
	judge("gamma", 2);
	home_linked(job, 2, false);
	is_nowhere(job);
	assert_true(was_asked(0, "gamma", "destroy"));
	reply(0, "{ \"gone\": false }");
	assert_string_equal(claim("beta", 3), "keep");
	is_at(job, "beta", 3);
	/* Should it live all the same. */
	home_linked(job, 3, true);
	assert_int_equal(judge("gamma", 2), VERDICT_DESTROY);
}

static void goes_back_without_a_claim(void **state)
{
	struct job *job = add("beta");

	(void)state;
	judge("gamma", 2);
	home_linked(job, 2, false);
	reply(0, NULL);
	assert_int_equal(judge("beta", 1), VERDICT_KEEP);
	is_at(job, "beta", 1);
}

static void goes_back_when_the_target_is_lost(void **state)
{
	struct job *job = add("beta");

	(void)state;
	judge("gamma", 2);
	assert_string_equal(claim("beta", 3), "wait");
	job->lost = 1;
	assert_string_equal(claim("beta", 3), "keep");
	is_at(job, "beta", 3);
	assert_int_equal(job->lost, 0);
	assert_int_equal(judge("gamma", 2), VERDICT_WAIT);
	home_linked(job, 3, true);
	assert_int_equal(judge("gamma", 2), VERDICT_DESTROY);
}

static void grants_its_host(void **state)
{
	struct job *job = add("beta");

	(void)state;
	assert_string_equal(claim("beta", 3), "keep");
	is_at(job, "beta", 3);
	/* The link is the same: what comes from the failed attempt is over. */
	assert_int_equal(judge("gamma", 2), VERDICT_DESTROY);
	/* Restarted, it has forgotten its number, and claims again. */
	assert_int_equal(judge("beta", 1), VERDICT_WAIT);
	assert_string_equal(claim("beta", 3), "keep");
	assert_string_equal(claim("beta", 2), "keep");
	is_at(job, "beta", 2);
}

static void knows_no_stranger(void **state)
{
	struct job *job = add("beta");

	(void)state;
	assert_string_equal(claim("gamma", 7), "destroy");
	assert_int_equal(judge("gamma", 1), VERDICT_WAIT);
	is_at(job, "beta", 1);
	home_claim(mvd.jobs, "beta", "6f6f0000-1111-2222-3333-000000000009", 2,
		   (struct peer_question *)&mvd);
	assert_string_equal(answered, "wait");
}

static void believes_no_other_owner(void **state)
{
	struct job *job = add("beta");
	struct job_facts facts = facts_of(2, 1);
	struct claim odd = { UUID, "<facts/>", 2, false };

	(void)state;
	facts.uid++;
	assert_int_equal(judge_facts("gamma", facts), VERDICT_DESTROY);
	facts = facts_of(2, 1);
	facts.start++;
	assert_int_equal(judge_facts("gamma", facts), VERDICT_DESTROY);
	assert_int_equal(home_judge(mvd.jobs, "gamma", &odd), VERDICT_WAIT);
	is_at(job, "beta", 1);
}

/* By a client of libvirt: the number is the same. */
static void follows_a_hand(void **state)
{
	struct job *job = add("beta");

	(void)state;
	assert_int_equal(judge("gamma", 1), VERDICT_WAIT);
	home_ended(mvd.jobs, "beta", UUID, 1, GONE_UNKNOWN, "", "");
	assert_true(job->absent);
	assert_int_equal(judge("gamma", 1), VERDICT_KEEP);
	is_at(job, "gamma", 1);
	assert_int_equal(job->facts.moves, 1);
	assert_string_equal(job->facts.from, "beta");
	forget_asked();
	/* Its old host died just then. */
	job->lost = 1;
	assert_int_equal(judge_facts("beta", facts_of(1, 1)), VERDICT_KEEP);
	is_at(job, "beta", 1);
	assert_int_equal(job->facts.moves, 2);
}

/* ---- ends ---- */

static void ends_with_its_copy(void **state)
{
	struct job *job = job_ref(add("beta"));

	(void)state;
	home_ended(mvd.jobs, "gamma", UUID, 1, GONE_CRASHED, "x", NULL);
	home_ended(mvd.jobs, "beta", UUID, 2, GONE_CRASHED, "x", NULL);
	is_at(job, "beta", 1);
	home_ended(mvd.jobs, "beta", UUID, 1, GONE_CRASHED, "x", NULL);
	assert_int_equal(job->stage, JOB_GONE);
	assert_null(jobs_find(mvd.jobs, UUID));
	job_unref(job);
}

static void outlives_a_copy_without_a_link(void **state)
{
	struct job *job = add("beta");

	(void)state;
	judge("gamma", 2);
	home_ended(mvd.jobs, "gamma", UUID, 2, GONE_CRASHED, "x", NULL);
	is_nowhere(job);
	assert_int_equal(judge("beta", 1), VERDICT_KEEP);
	is_at(job, "beta", 1);
}

/* ---- a copy that was left here ---- */

static void takes_back_what_was_left(void **state)
{
	struct job *job = add(NULL);

	(void)state;
	assert_int_equal(judge("gamma", 2), VERDICT_KEEP);
	is_at(job, "gamma", 2);
	assert_true(job->leftover);
	home_linked(job, 2, false);
	assert_false(job->leftover);
	is_at(job, NULL, 3);
	assert_int_equal(job->facts.moves, 0);
	assert_true(was_asked(0, "gamma", "destroy"));
	home_linked(job, 3, true);
	assert_int_equal(judge("gamma", 2), VERDICT_DESTROY);
}

static void leaves_what_is_linked_elsewhere(void **state)
{
	struct job *job = add(NULL);

	(void)state;
	home_linked(job, 2, true);
	assert_int_equal(home_claim_here(job, 3), VERDICT_DESTROY);
	assert_true(job->absent);
	assert_int_equal(judge("gamma", 2), VERDICT_KEEP);
	is_at(job, "gamma", 2);
}

static void claims_here(void **state)
{
	struct job *job = add(NULL);

	(void)state;
	assert_int_equal(home_claim_here(job, 3), VERDICT_KEEP);
	is_at(job, NULL, 3);
	assert_int_equal(judge("gamma", 2), VERDICT_DESTROY);
}

/* It has come home, but does not continue what was done meanwhile elsewhere. */
static void refuses_a_copy_here(void **state)
{
	struct job *job = add("beta");

	(void)state;
	g_clear_pointer(&job->host, g_free);
	job->facts.incarnation = job->facts.attempt = 2;
	home_linked(job, 2, false);
	is_nowhere(job);
	assert_string_equal(claim("beta", 3), "keep");
	is_at(job, "beta", 3);
}

/* ---- an agent that was restarted ---- */

static void recalls(void **state)
{
	struct claim brief = { UUID, NULL, 3, false };
	struct job_facts facts = facts_of(3, 2);
	struct job *job;

	(void)state;
	assert_int_equal(home_judge(mvd.jobs, "beta", &brief), VERDICT_FACTS);
	facts.start++;
	assert_int_equal(judge_facts("beta", facts), VERDICT_DESTROY);
	facts = facts_of(3, 2);
	g_free(facts.home);
	facts.home = g_strdup("gamma");
	assert_int_equal(judge_facts("beta", facts), VERDICT_DESTROY);
	assert_int_equal(judge("beta", 3), VERDICT_KEEP);
	job = jobs_find(mvd.jobs, UUID);
	assert_non_null(job);
	is_at(job, "beta", 3);
	/* A higher one is accepted, and nothing destroyed before mvrun says
	 * what it is linked to. */
	assert_int_equal(judge("gamma", 4), VERDICT_KEEP);
	assert_int_equal(judge("beta", 3), VERDICT_WAIT);
}

/* ---- looking for the lost ---- */

static void look_again(struct job *job)
{
	forget_asked();
	job->heard = g_get_monotonic_time() / 1000 - 10000;
	home_look(job);
	assert_true(was_asked(0, "beta", "have"));
	assert_true(was_asked(1, "gamma", "have"));
	assert_int_equal(n_asked, 2);
	assert_string_equal(job_state(job), "HOST-LOST");
}

static void gives_up_what_nobody_has(void **state)
{
	struct job *job = job_ref(add("beta"));

	(void)state;
	home_look(job);
	assert_int_equal(n_asked, 0);
	assert_string_equal(job_state(job), "running");
	look_again(job);
	reply(0, NULL);
	reply(1, "{ \"here\": false }");
	look_again(job);
	reply(1, "{ \"here\": false }");
	reply(0, "{ \"here\": false }");
	look_again(job);
	reply(0, "{ \"here\": false }");
	reply(1, "{ \"here\": true }");
	look_again(job);
	reply(0, "{ \"here\": false }");
	reply(1, "{ \"here\": false }");
	assert_int_equal(job->stage, JOB_UP);
	look_again(job);
	reply(0, "{ \"here\": false }");
	assert_int_equal(job->stage, JOB_UP);
	reply(1, "{ \"here\": false }");
	assert_int_equal(job->stage, JOB_GONE);
	job_unref(job);
}

static void a_word_in_time_saves_it(void **state)
{
	struct job *job = add("beta");

	(void)state;
	look_again(job);
	assert_int_equal(judge("beta", 1), VERDICT_KEEP);
	reply(0, "{ \"here\": false }");
	reply(1, "{ \"here\": false }");
	is_at(job, "beta", 1);
	assert_string_equal(job_state(job), "running");
	assert_int_equal(job->searches, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(follows_a_move),
		TEST(knows_why_it_moved),
		TEST(keeps_both_until_linked),
		TEST(goes_back_when_refused),
		TEST(goes_back_without_a_claim),
		TEST(goes_back_when_the_target_is_lost),
		TEST(grants_its_host),
		TEST(knows_no_stranger),
		TEST(believes_no_other_owner),
		TEST(follows_a_hand),
		TEST(ends_with_its_copy),
		TEST(outlives_a_copy_without_a_link),
		TEST(takes_back_what_was_left),
		TEST(leaves_what_is_linked_elsewhere),
		TEST(claims_here),
		TEST(refuses_a_copy_here),
		TEST(recalls),
		TEST(gives_up_what_nobody_has),
		TEST(a_word_in_time_saves_it),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
