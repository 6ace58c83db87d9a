/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A cluster's directory: what is in it, who is let in, and what is left when
 * something is missing. */
#include "net/cluster.h"

#include "net/json.h"

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char *base, *dir;
static struct err err;

static int set_up(void **state)
{
	(void)state;
	base = g_dir_make_tmp("mv-cluster-XXXXXX", NULL);
	dir = g_build_filename(base, "cluster", NULL);
	memset(&err, 0, sizeof(err));
	assert_int_equal(cluster_init(dir, "one", "10.0.0.1", 7480, PKI_YEAR_S,
				      &err), 0);
	return 0;
}

static void remove_files(const char *path)
{
	GDir *files = g_dir_open(path, 0, NULL);
	const char *name;

	while (files && (name = g_dir_read_name(files))) {
		g_autofree char *file = g_build_filename(path, name, NULL);

		if (g_remove(file) < 0)
			remove_files(file);
	}
	if (files)
		g_dir_close(files);
	g_rmdir(path);
}

static int tear_down(void **state)
{
	(void)state;
	remove_files(base);
	assert_int_equal(access(base, F_OK), -1);
	g_free(base);
	g_free(dir);
	return 0;
}

static struct cluster *load(void)
{
	struct cluster *cluster = cluster_load(dir, &err);

	if (!cluster)
		fail_msg("%s", err.text);
	return cluster;
}

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void write_file(const char *name, const char *text)
{
	g_autofree char *path = path_of(name);

	assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *request_new(char **key)
{
	char *request;

	assert_int_equal(pki_make_request("x", key, &request, &err), 0);
	return request;
}

/* Ask to be let in with a token's text. The error is in err. */
static int admit(struct cluster *cluster, const char *token_text,
		 const char *name, char **cert)
{
	g_autofree char *key = NULL, *request = request_new(&key);
	struct cluster_token token;
	struct cluster_admission admission = {
		.secret = token.secret,
		.name = name,
		.address = "10.0.0.2",
		.port = 7480,
		.request = request,
	};

	assert_int_equal(cluster_token_parse(&token, token_text, &err), 0);
	assert_int_equal(strncmp(token.ca_hash, cluster->ca_fingerprint, 32),
			 0);
	return cluster_admit(cluster, &admission, cert, &err);
}

static void keeps_secrets(void **state)
{
	static const char *const names[] = {
		"ca.key", "ca.pem", "node.key", "node.pem", "roster.json",
		"invites", "datagram.key",
	};
	struct cluster *cluster = load();
	g_autofree char *token = cluster_invite(cluster, &err), *text = NULL;
	g_autofree char *invites = path_of("invites");
	struct stat st;
	size_t i;

	(void)state;
	assert_true(cluster->authority);
	assert_true(cluster_has_self(cluster));
	assert_string_equal(cluster->self, "one");
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = path_of(names[i]);

		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	/* Not even who reads the file can use the token. */
	assert_true(g_file_get_contents(invites, &text, NULL, NULL));
	assert_null(strstr(text, strchr(token, '-') + 1));
	assert_null(strstr(text, "secret"));
	cluster_free(cluster);
}

static void admits_once(void **state)
{
	struct cluster *cluster = load();
	g_autofree char *token = cluster_invite(cluster, &err);
	g_autofree char *cert = NULL, *second = NULL;
	char fingerprint[PKI_FINGERPRINT_SIZE];

	(void)state;
	assert_int_equal(admit(cluster, token, "two", &cert), 0);
	assert_int_equal(cluster->roster->serial, 2);
	assert_int_equal(pki_fingerprint(cert, fingerprint, &err), 0);
	assert_int_equal(cluster_judge_member(cluster, "two", fingerprint,
					      &err), 0);
	assert_int_equal(admit(cluster, token, "three", &second), -1);
	assert_non_null(strstr(err.text, "used already, by two"));
	assert_null(second);
	cluster_free(cluster);
	/* After a restart, too. */
	cluster = load();
	assert_int_equal(cluster->roster->count, 2);
	assert_int_equal(admit(cluster, token, "three", &second), -1);
	assert_non_null(strstr(err.text, "used already"));
	cluster_free(cluster);
}

static void refuses_tokens(void **state)
{
	struct cluster *cluster = load();
	g_autofree char *token = cluster_invite(cluster, &err), *cert = NULL;
	g_autofree char *wrong = g_strdup(token), *text = NULL, *old = NULL;
	g_autofree char *path = path_of("invites");
	struct cluster_token parsed;
	char *at;

	(void)state;
	wrong[5] = wrong[5] == '0' ? '1' : '0';
	assert_int_equal(admit(cluster, wrong, "two", &cert), -1);
	assert_non_null(strstr(err.text, "not known"));
	/* Its hour has passed. */
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	at = strstr(text, "\"expires\":") + strlen("\"expires\":");
	*at = '\0';
	old = g_strdup_printf("%s%lld%s", text,
			      (long long)g_get_real_time() / 1000000 - 1,
			      at + strspn(at + 1, "0123456789") + 1);
	write_file("invites", old);
	assert_int_equal(admit(cluster, token, "two", &cert), -1);
	assert_non_null(strstr(err.text, "has expired"));
	assert_int_equal(cluster_token_parse(&parsed, "mv1-12-34", &err), -1);
	assert_int_equal(cluster_token_parse(&parsed, "", &err), -1);
	wrong[5] = '/';
	assert_int_equal(cluster_token_parse(&parsed, wrong, &err), -1);
	assert_non_null(strstr(err.text, "no token"));
	cluster_free(cluster);
}

static void refuses_names(void **state)
{
	struct cluster *cluster = load();
	g_autofree char *token = cluster_invite(cluster, &err), *cert = NULL;

	(void)state;
	assert_int_equal(admit(cluster, token, "one", &cert), -1);
	assert_non_null(strstr(err.text, "already"));
	assert_int_equal(admit(cluster, token, "ONE", &cert), -1);
	assert_int_equal(admit(cluster, token, "home", &cert), -1);
	assert_non_null(strstr(err.text, "home"));
	assert_int_equal(admit(cluster, token, "../x", &cert), -1);
	/* The token is still good. */
	assert_int_equal(admit(cluster, token, "two", &cert), 0);
	cluster_free(cluster);
	assert_int_equal(cluster_init(dir, "other", "h", 1, PKI_YEAR_S, &err),
			 -1);
	assert_non_null(strstr(err.text, "in a cluster already, as one"));
}

static void removes(void **state)
{
	struct cluster *cluster = load();
	g_autofree char *token = cluster_invite(cluster, &err), *cert = NULL;
	char fingerprint[PKI_FINGERPRINT_SIZE];

	(void)state;
	assert_int_equal(admit(cluster, token, "two", &cert), 0);
	assert_int_equal(pki_fingerprint(cert, fingerprint, &err), 0);
	assert_int_equal(cluster_remove(cluster, "one", &err), -1);
	assert_non_null(strstr(err.text, "cannot be removed"));
	assert_int_equal(cluster_remove(cluster, "three", &err), -1);
	assert_int_equal(cluster_remove(cluster, "two", &err), 0);
	assert_int_equal(cluster->roster->serial, 3);
	assert_int_equal(cluster_judge_member(cluster, "two", fingerprint,
					      &err), -1);
	assert_non_null(strstr(err.text, "revoked"));
	cluster_free(cluster);
}

/* What a member without the authority's key can do: take rosters. */
static void member_follows(void **state)
{
	struct cluster *first = load(), *member;
	g_autofree char *token = cluster_invite(first, &err), *cert = NULL;
	g_autofree char *dir2 = g_build_filename(base, "second", NULL);
	g_autofree char *key = NULL, *request = request_new(&key);
	struct cluster_token parsed;
	struct cluster_admission admission = {
		.secret = parsed.secret, .name = "two", .address = "h",
		.port = 1, .request = request,
	};
	struct json_object *old;

	(void)state;
	assert_int_equal(cluster_token_parse(&parsed, token, &err), 0);
	assert_int_equal(cluster_admit(first, &admission, &cert, &err), 0);
	assert_int_equal(cluster_store(dir2, first->ca, cert, key,
				       first->envelope, &err), 0);
	member = cluster_load(dir2, &err);
	assert_non_null(member);
	assert_false(member->authority);
	assert_true(cluster_has_self(member));
	assert_null(cluster_invite(member, &err));
	assert_non_null(strstr(err.text, "only one, where"));
	assert_int_equal(cluster_admit(member, &admission, &cert, &err), -1);
	assert_non_null(strstr(err.text, "by way of one"));
	/* Not a second time while it is a member. */
	assert_int_equal(cluster_store(dir2, first->ca, cert, key,
				       first->envelope, &err), -1);

	old = json_object_get(first->envelope);
	assert_int_equal(cluster_adopt(member, old, &err), 0);
	assert_int_equal(cluster_remove(first, "two", &err), 0);
	assert_int_equal(cluster_adopt(member, first->envelope, &err), 1);
	assert_false(cluster_has_self(member));
	/* The way back is barred, also after a restart. */
	assert_int_equal(cluster_adopt(member, old, &err), 0);
	cluster_free(member);
	member = cluster_load(dir2, &err);
	assert_false(cluster_has_self(member));
	assert_int_equal(member->roster->serial, 3);
	cluster_free(member);
	/* But it can join anew. */
	assert_int_equal(cluster_store(dir2, first->ca, cert, key, old, &err),
			 0);
	json_object_put(old);
	cluster_free(first);
}

static void says_what_is_missing(void **state)
{
	g_autofree char *nowhere = g_build_filename(base, "nowhere", NULL);
	g_autofree char *ca = path_of("ca.pem"), *pem = NULL;
	static const char *const names[] = {
		"node.key", "node.pem", "roster.json",
	};
	size_t i;

	(void)state;
	assert_null(cluster_load(nowhere, &err));
	assert_int_equal(err.num, ENOENT);
	for (i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = path_of(names[i]);
		g_autofree char *text = NULL;

		assert_true(g_file_get_contents(path, &text, NULL, NULL));
		unlink(path);
		assert_null(cluster_load(dir, &err));
		assert_int_not_equal(err.num, ENOENT);
		assert_non_null(strstr(err.text, names[i]));
		write_file(names[i], text);
	}
	/* A roster of somebody else's making. */
	assert_true(g_file_get_contents(ca, &pem, NULL, NULL));
	write_file("roster.json", "{\"roster\":\"{}\",\"signature\":\"AAAA\"}");
	assert_null(cluster_load(dir, &err));
	assert_non_null(strstr(err.text, "signature"));
	/* And an unwritable place. */
	assert_int_equal(cluster_init("/proc/mv-cluster", "a", "h", 1,
				      PKI_YEAR_S, &err), -1);
	assert_non_null(strstr(err.text, "/proc/mv-cluster"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keeps_secrets, set_up, tear_down),
		cmocka_unit_test_setup_teardown(admits_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_tokens, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(removes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(member_follows, set_up, tear_down),
		cmocka_unit_test_setup_teardown(says_what_is_missing, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
