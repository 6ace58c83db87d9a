/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What mvd.conf and mvctl set may say, and what the kernel's files may hold. */
#include "vmm-agent/mvd-config.h"
#include "vmm-agent/mvd-limits.h"
#include "vmm-agent/mvd-load-process.h"
#include "vmm-agent/mvd-measure.h"
#include "vmm-agent/mvd-protocol.h"
#include "vmm-agent/mvd-settings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Settings */

static void has_defaults(void **state)
{
	struct mvd_settings s;

	(void)state;
	settings_default(&s);
	assert_true(s.place && s.balance && s.usher && s.weights);
	assert_false(s.stay || s.block || s.drain || s.expel_when_used);
	assert_int_equal(s.in_use, SETTINGS_NO);
	assert_true(s.owner_idle == 900);
	assert_int_equal(s.slots, 512);
	assert_true(s.interval == 2 && s.policy.residency > 0);
}

static void reads_a_file(void **state)
{
	static const char text[] =
		"# how this node takes part\n"
		"\n"
		"balance = no   # not here\n"
		"\tslots=3\n"
		"interval = 0.5\n"
		"residency = 10\n"
		"drain = YES";
	struct mvd_settings s;
	struct err err = { 0 };

	(void)state;
	settings_default(&s);
	assert_int_equal(settings_parse(&s, text, "mvd.conf", &err), 0);
	assert_false(s.balance);
	assert_true(s.place && s.drain);
	assert_int_equal(s.slots, 3);
	assert_true(s.interval == 0.5 && s.policy.residency == 10);
}

static void a_mistake_changes_nothing(void **state)
{
	static const char *const wrong[][2] = {
		{ "balance = no\nblance = no\n", "line 2: there is no setting \"blance\"" },
		{ "balance = perhaps\n", "takes yes or no" },
		{ "balance = auto\n", "takes yes or no" },
		{ "in_use = perhaps\n", "takes yes, auto or no" },
		{ "owner_idle = 5\n", "between 10 and" },
		{ "balance\n", "NAME=VALUE" },
		{ "balance = no\nslots = 1.5\n", "whole number" },
		{ "slots = 70000\n", "between 0 and 65535" },
		{ "slots = -1\n", "between" },
		{ "interval = \n", "takes a number" },
		{ "interval = nan\n", "takes a number" },
		{ "interval = inf\n", "takes a number" },
		{ "residency = 1e99\n", "must be between" },
		{ "payback = 0\n", "must be between" },
		{ "trust = 2 3\n", "takes a number" },
		{ "= 3\n", "there is no setting" },
	};
	struct mvd_settings s, before;
	struct err err;
	size_t i;

	(void)state;
	settings_default(&before);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		s = before;
		err = (struct err){ 0 };
		assert_int_equal(settings_parse(&s, wrong[i][0], "mvd.conf", &err), -1);
		if (!strstr(err.text, wrong[i][1]))
			fail_msg("\"%s\": %s", wrong[i][0], err.text);
		assert_true(s.balance == before.balance && s.slots == before.slots);
	}
}

static void minds_what_the_file_is(void **state)
{
	char path[] = "/tmp/mv-settings-XXXXXX";
	struct mvd_settings s;
	struct err err = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	settings_default(&s);
	assert_int_equal(settings_load(&s, "/nowhere/mvd.conf", true, &err), 0);
	assert_int_equal(settings_load(&s, "/nowhere/mvd.conf", false, &err), -1);
	assert_int_equal(write(fd, "stay = yes\n", 11), 11);
	assert_int_equal(settings_load(&s, path, false, &err), 0);
	assert_true(s.stay);
	assert_int_equal(write(fd, "stay\0= no\n", 10), 10);
	assert_int_equal(settings_load(&s, path, false, &err), -1);
	assert_non_null(strstr(err.text, "is no text"));
	close(fd);
	unlink(path);
}

static void tells_them(void **state)
{
	struct json_object *list, *value;
	struct mvd_settings s;

	(void)state;
	settings_default(&s);
	list = settings_to_json(&s, "interval");
	assert_int_equal(json_object_array_length(list), 1);
	assert_true(json_object_object_get_ex(json_object_array_get_idx(list, 0),
					      "value", &value));
	assert_true(json_object_get_double(value) == 2);
	json_object_put(list);
	assert_null(settings_to_json(&s, "intervals"));
	list = settings_to_json(&s, NULL);
	assert_true(json_object_array_length(list) > 20);
	json_object_put(list);
}

static const char *in_use(const char *text)
{
	static char shown[16];
	struct json_object *list, *value;
	struct mvd_settings s;
	struct err err = { 0 };

	settings_default(&s);
	assert_int_equal(settings_set(&s, "in_use", text, &err), 0);
	list = settings_to_json(&s, "in_use");
	json_object_object_get_ex(json_object_array_get_idx(list, 0), "value", &value);
	snprintf(shown, sizeof(shown), "%s", json_object_get_string(value));
	json_object_put(list);
	return shown;
}

static void the_owner_has_three_words(void **state)
{
	(void)state;
	assert_string_equal(in_use("Auto"), "auto");
	assert_string_equal(in_use("on"), "yes");
	assert_string_equal(in_use("no"), "no");
}

/* docs/mvd.conf shows each setting, commented out, with its default. */
static void the_example_is_complete(void **state)
{
	const char *source = getenv("MV_SRCDIR");
	g_autofree char *path = g_build_filename(source ? source : ".", "docs",
						 "mvd.conf", NULL);
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;
	struct json_object *all;
	struct mvd_settings s;
	size_t i, n = 0;

	(void)state;
	if (!g_file_get_contents(path, &text, NULL, NULL))
		skip();
	settings_default(&s);
	lines = g_strsplit(text, "\n", -1);
	for (i = 0; lines[i]; i++) {
		g_autofree char *name = NULL, *before = NULL;
		struct err err = { 0 };
		struct json_object *is;

		if (lines[i][0] != '#' || !g_ascii_islower(lines[i][1]))
			continue;
		name = g_strstrip(g_strndup(lines[i] + 1, strcspn(lines[i] + 1, "=")));
		is = settings_to_json(&s, name);
		assert_non_null(is);
		before = g_strdup(json_object_to_json_string(is));
		json_object_put(is);
		assert_int_equal(settings_parse(&s, lines[i] + 1, path, &err), 0);
		is = settings_to_json(&s, name);
		assert_string_equal(json_object_to_json_string(is), before);
		json_object_put(is);
		n++;
	}
	all = settings_to_json(&s, NULL);
	assert_int_equal(n, json_object_array_length(all));
	json_object_put(all);
}

static void the_command_line_goes_over_the_file(void **state)
{
	char path[] = "/tmp/mv-settings-XXXXXX", option[64];
	char *argv[] = { (char *)"mvd", (char *)"--session", (char *)"--config", path,
			 (char *)"--set", (char *)"balance=yes", NULL };
	struct mvd_config config = { 0 };
	struct err err = { 0 };
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "balance=no\nplace=no\n", 20), 20);
	assert_int_equal(mvd_config_parse(&config, 6, argv, &err), 0);
	assert_true(config.settings.balance && !config.settings.place);
	mvd_config_clear(&config);
	config = (struct mvd_config){ 0 };
	snprintf(option, sizeof(option), "balance=%d", 7);
	argv[0] = (char *)"mvd";
	argv[1] = (char *)"--session";
	argv[2] = (char *)"--set";
	argv[3] = option;
	argv[4] = NULL;
	assert_int_equal(mvd_config_parse(&config, 4, argv, &err), -1);
	assert_non_null(strstr(err.text, "takes yes or no"));
	mvd_config_clear(&config);
	close(fd);
	unlink(path);
}

/* What the kernel says */

#define V1_GROUPS "4:memory:/node\n3:cpu,cpuacct:/node/inner\n1:name=systemd:/\n0::/\n"
#define V1_MOUNTS \
	"31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" \
	"32 23 0:28 /node /cg/cpu rw,nosuid shared:3 - cgroup cgroup rw,cpu,cpuacct\n"
#define V2_MOUNTS "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"

static void check_group(const char *groups, const char *mounts, const char *controller,
			const char *want, bool want_v2)
{
	bool v2 = !want_v2;
	char *top = NULL, *got = measure_cgroup(groups, mounts, controller, &v2, &top);

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	if (want)
		assert_true(v2 == want_v2 && g_str_has_prefix(got, top));
	g_free(got);
	g_free(top);
}

static void finds_its_group(void **state)
{
	(void)state;
	check_group(V1_GROUPS, V1_MOUNTS, "memory", "/sys/fs/cgroup/memory/node", false);
	check_group(V1_GROUPS, V1_MOUNTS, "cpu", "/cg/cpu/inner", false);
	check_group(V1_GROUPS, V2_MOUNTS, "cpu", NULL, false);
	check_group("0::/a/b\n", V2_MOUNTS, "cpu", "/sys/fs/cgroup/a/b", true);
	check_group("0::/\n", V2_MOUNTS, "memory", "/sys/fs/cgroup", true);
	check_group("0::/a\n", "29 23 0:26 /b /mnt rw - cgroup2 none rw\n", "cpu", NULL, true);
	check_group("0::/ab\n", "29 23 0:26 /a /mnt rw - cgroup2 none rw\n", "cpu", NULL,
		    true);
	/* A group outside of what this namespace sees. */
	check_group("0::/../other\n", V2_MOUNTS, "cpu", NULL, true);
	check_group("0::/a\n", "1 2 3 / /with\\040blank rw - cgroup2 x rw\n", "cpu",
		    "/with blank/a", true);
}

static void survives_any_text(void **state)
{
	static const char *const texts[] = {
		"", "\n", ":", "::", "0::", "0::x", " - ", "a b c d e f - cgroup2 x y",
		"cpu", "cpu ", "max", "-1", "18446744073709551616", "9 9 9 9 9 9 9 9 9",
		"full avg10=", "full avg10=x", "lo: 1 2", "eth0:", "CPU 1", "\xff\xfe",
	};
	uint64_t a, b;
	unsigned n;
	size_t i;
	bool v2;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const char *text = texts[i];
		char *dir = measure_cgroup(text, text, "cpu", &v2, NULL);

		g_free(dir);
		assert_true(measure_cpu_max(text) >= 0);
		assert_true(measure_cfs_quota(text, text) >= 0);
		measure_number(text);
		measure_key(text, "rss");
		assert_true(measure_pressure(text) >= 0 && measure_pressure(text) <= 1);
		measure_stat(text, &a, &n);
		measure_schedstat(text, &a, &b);
		assert_false(measure_is_vcpu(text));
		measure_resident(text);
		assert_null(measure_option(text, strlen(text), "-uuid"));
		measure_io(text);
		measure_net(text);
	}
}

static void reads_limits(void **state)
{
	(void)state;
	assert_true(measure_cpu_max("50000 100000\n") == 0.5);
	assert_true(measure_cpu_max("max 100000\n") == 0);
	assert_true(measure_cpu_max("50000\n") == 0);
	assert_true(measure_cpu_max("50000 0\n") == 0);
	assert_true(measure_cfs_quota("150000\n", "100000\n") == 1.5);
	assert_true(measure_cfs_quota("-1\n", "100000\n") == 0);
	assert_int_equal(measure_number("1234\n"), 1234);
	assert_true(measure_number("max\n") == MEASURE_UNKNOWN);
	assert_int_equal(measure_key("total_rss 7\nrss 8\n", "rss"), 8);
	assert_true(measure_key("rss_huge 7\n", "rss") == MEASURE_UNKNOWN);
}

/* That of the group that has a limit; the whole machine's where there is none. */
static void reads_pressure(void **state)
{
	char dir[] = "/tmp/mv-group-XXXXXX";
	struct limits limits = { .memory = { .dir = dir, .top = dir, .v2 = true } };
	g_autofree char *path = NULL, *max = NULL, *current = NULL;

	(void)state;
	assert_non_null(mkdtemp(dir));
	path = g_build_filename(dir, "memory.pressure", NULL);
	max = g_build_filename(dir, "memory.max", NULL);
	current = g_build_filename(dir, "memory.current", NULL);
	assert_true(g_file_set_contents(max, "1000000\n", -1, NULL));
	assert_true(g_file_set_contents(current, "5000\n", -1, NULL));
	assert_true(limits_pressure(&limits) == 0);
	assert_true(g_file_set_contents(path, "some avg10=60.00 avg60=1.00 avg300=0.00 total=5\n"
					"full avg10=25.00 avg60=1.00 avg300=0.00 total=5\n",
					-1, NULL));
	assert_true(fabs(limits_pressure(&limits) - 0.25) < 1e-9);
	unlink(current);
	unlink(path);
	unlink(max);
	rmdir(dir);
}

static void reads_accounts(void **state)
{
	static const char stat[] = "cpu  100 20 30 4000 50 6 7 8 900 0\n"
				   "cpu0 1 2 3 4\nprocs_running 5\nprocs_blocked 0\n";
	static const char dev[] =
		"Inter-|   Receive | Transmit\n face |bytes packets\n"
		"    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0\n"
		"  eth0: 100 1 0 0 0 0 0 0 23 1 0 0 0 0 0 0\n"
		" wlan0:1000 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\n";
	uint64_t a, b;
	unsigned running;

	(void)state;
	assert_true(measure_stat(stat, &a, &running));
	assert_int_equal(a, 100 + 20 + 30 + 6 + 7 + 8);
	assert_int_equal(running, 5);
	assert_true(measure_schedstat("123 456 7\n", &a, &b));
	assert_true(a == 123 && b == 456);
	assert_true(fabs(measure_pressure("some avg10=9.0 avg60=0\n"
					  "full avg10=12.50 avg60=0.00\n") - 0.125) < 1e-9);
	assert_int_equal(measure_net(dev), 1123);
	assert_int_equal(measure_resident("1000 42 3 4 0 5 0\n"), 42);
	assert_int_equal(measure_io("rchar: 5\nwchar: 6\nsyscr: 9\n"), 6);
}

static void put_interface(const char *dir, const char *name, bool device, const char *speed)
{
	g_autofree char *at = g_build_filename(dir, name, device ? "device" : ".", NULL);
	g_autofree char *path = g_build_filename(dir, name, "speed", NULL);

	assert_int_equal(g_mkdir_with_parents(at, 0700), 0);
	if (speed)
		assert_true(g_file_set_contents(path, speed, -1, NULL));
}

static void knows_what_the_network_carries(void **state)
{
	g_autofree char *dir = g_dir_make_tmp("mv-net-XXXXXX", NULL);
	char *remove[] = { (char *)"rm", (char *)"-r", dir, NULL };

	(void)state;
	assert_true(measure_net_capacity("/nonexistent") == 0);
	assert_true(measure_net_capacity(dir) == 0);
	put_interface(dir, "eth0", true, "-1\n");
	put_interface(dir, "eth1", true, NULL);
	put_interface(dir, "bridge", false, "100000\n");
	assert_true(measure_net_capacity(dir) == 0);
	put_interface(dir, "eth2", true, "1000\n");
	put_interface(dir, "eth3", true, "10000\n");
	put_interface(dir, "eth4", true, "99999999999999\n");
	put_interface(dir, "eth5", true, "fast\n");
	assert_true(measure_net_capacity(dir) == 1.25e9);
	assert_true(g_spawn_sync(NULL, remove, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
				 NULL, NULL, NULL));
}

static void knows_a_guest(void **state)
{
	static const char words[] = "qemu\0-name\0guest=x\0-uuid\0abc\0-uuid";

	(void)state;
	assert_true(measure_is_vcpu("CPU 0/TCG\n"));
	assert_true(measure_is_vcpu("CPU 12/KVM\n"));
	assert_false(measure_is_vcpu("qemu-system-x86\n"));
	assert_string_equal(measure_option(words, sizeof(words), "-uuid"), "abc");
	assert_string_equal(measure_option(words, sizeof(words), "-name"), "guest=x");
	assert_null(measure_option(words, sizeof(words), "guest=x2"));
	/* Cut short: the value has no end. */
	assert_null(measure_option(words, 25, "-uuid"));
}

static void old_jobs_are_nice(void **state)
{
	int before = 0, nice;
	double weight;

	(void)state;
	assert_int_equal(load_process_nice(1), 0);
	assert_int_equal(load_process_nice(0.8), 1);
	assert_int_equal(load_process_nice(1e-9), 19);
	assert_int_equal(load_process_nice(0), 19);
	assert_int_equal(load_process_nice(NAN), 19);
	for (weight = 1; weight > 0.001; weight *= 0.9) {
		nice = load_process_nice(weight);
		assert_true(nice >= before && nice <= 19);
		before = nice;
	}
}

static void measures_a_speed(void **state)
{
	double speed = measure_speed();

	(void)state;
	assert_true(isfinite(speed) && speed > 0);
}

/* Requests */

static int parse(struct request *request, const char *line)
{
	struct err err = { 0 };

	return request_parse(request, line, strlen(line), &err);
}

static void takes_wishes(void **state)
{
	struct request request;

	(void)state;
	assert_int_equal(parse(&request, "{\"op\":\"run\",\"uuid\":\"6f6f0000-1111-2222-"
		"3333-000000000001\",\"command\":\"x\",\"on\":\"a,b\",\"not_on\":\"c\","
		"\"near\":\"make\",\"group\":\"g\",\"kind\":\"io-bound\",\"best\":true}"), 0);
	assert_string_equal(request.on, "a,b");
	assert_string_equal(request.not_on, "c");
	assert_string_equal(request.near, "make");
	assert_string_equal(request.group, "g");
	assert_string_equal(request.kind, "io-bound");
	assert_true(request.best);
	assert_int_equal(parse(&request, "{\"op\":\"schedule\",\"action\":\"set\","
		"\"name\":\"slots\",\"value\":\"3\",\"node\":\"n\"}"), 0);
	assert_string_equal(request.cluster.action, "set");
	assert_string_equal(request.value, "3");
	assert_string_equal(request.cluster.node, "n");
	assert_int_equal(parse(&request, "{\"op\":\"schedule\"}"), -1);
	assert_int_equal(parse(&request, "{\"op\":\"schedule\",\"action\":7}"), -1);
	assert_int_equal(parse(&request, "{\"op\":\"schedule\",\"action\":"
		"\"an action that is far too long\"}"), -1);
	assert_int_equal(parse(&request, "{\"op\":\"jobs\",\"near\":\"x\"}"), 0);
	assert_string_equal(request.near, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(reads_a_file),
		cmocka_unit_test(a_mistake_changes_nothing),
		cmocka_unit_test(minds_what_the_file_is),
		cmocka_unit_test(tells_them),
		cmocka_unit_test(the_owner_has_three_words),
		cmocka_unit_test(the_example_is_complete),
		cmocka_unit_test(the_command_line_goes_over_the_file),
		cmocka_unit_test(finds_its_group),
		cmocka_unit_test(survives_any_text),
		cmocka_unit_test(reads_limits),
		cmocka_unit_test(reads_pressure),
		cmocka_unit_test(reads_accounts),
		cmocka_unit_test(knows_what_the_network_carries),
		cmocka_unit_test(knows_a_guest),
		cmocka_unit_test(old_jobs_are_nice),
		cmocka_unit_test(measures_a_speed),
		cmocka_unit_test(takes_wishes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
