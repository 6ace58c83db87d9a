/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client's side of the agent's socket, with a thread as the agent. */
#include "vmm-agent/agent-client.h"
#include "vmm-agent/agent-paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "{\"event\":\"hello\",\"version\":1,\"mvd\":\"0\",\"node\":\"alpha\"}\n"
#define WAIT_MS 10000

static char dir[64], path[128];
static int listener;
static const char *script; /* what the agent says, before it ends */
static int script_fd = -1; /* goes with it */
static pthread_t thread;

static int set_up(void **state)
{
	struct sockaddr_un address;

	(void)state;
	strcpy(dir, "/tmp/mv-client-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/mvd.sock", dir);
	setenv("MONOVISOR_SOCKET", path, 1);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(agent_address(&address, path, NULL), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address,
			      sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	rmdir(dir);
	unsetenv("MONOVISOR_SOCKET");
	return 0;
}

static void send_with_fd(int fd, const char *text, int passed)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)text, strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(int));
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		perror("sendmsg");
}

static void *be_agent(void *p)
{
	int fd = accept(listener, NULL, NULL);
	char byte;

	(void)p;
	if (script_fd >= 0)
		send_with_fd(fd, script, script_fd);
	else if (send(fd, script, strlen(script), MSG_NOSIGNAL) < 0)
		perror("send");
	/* Nothing the client sent may be lost by closing first. */
	shutdown(fd, SHUT_WR);
	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
	return NULL;
}

static int meet(struct agent **agent, const char *text, struct err *err)
{
	script = text;
	assert_int_equal(pthread_create(&thread, NULL, be_agent, NULL), 0);
	return agent_connect(agent, 0, "test", err);
}

static void part(struct agent *agent)
{
	agent_free(agent);
	pthread_join(thread, NULL);
}

static void says_hello(void **state)
{
	struct json_object *message;
	struct agent *agent;
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(meet(&agent, HELLO "{\"event\":\"ok\",\"n\":7,\"b\":true,"
			      "\"s\":\"x\"}\n", &err), 0);
	assert_string_equal(agent_node(agent), "alpha");
	assert_string_equal(agent_socket(agent), path);
	assert_int_equal(agent_send_op(agent, "jobs", NULL, &err), 0);
	assert_int_equal(agent_receive(agent, WAIT_MS, &message, &fd, &err), 1);
	assert_int_equal(fd, -1);
	assert_string_equal(agent_string(message, "s"), "x");
	assert_string_equal(agent_string(message, "n"), "");
	assert_int_equal(agent_number(message, "n"), 7);
	assert_int_equal(agent_number(message, "b"), 1);
	assert_int_equal(agent_number(message, "s"), 0);
	json_object_put(message);
	assert_int_equal(agent_receive(agent, WAIT_MS, &message, &fd, &err), -1);
	assert_int_equal(err.num, ECONNRESET);
	part(agent);
}

/* The descriptor belongs to the attach, whatever else came in the same read. */
static void gets_the_descriptor_with_its_message(void **state)
{
	struct json_object *message;
	struct agent *agent;
	struct stat sent, got;
	struct err err = { 0 };
	int fd;

	(void)state;
	script_fd = open("/dev/null", O_RDONLY);
	assert_int_equal(meet(&agent, HELLO "{\"event\":\"phase\"}\n"
			      "{\"event\":\"attach\"}\n{\"event\":\"attach\"}\n",
			      &err), 0);
	assert_int_equal(agent_receive(agent, WAIT_MS, &message, &fd, &err), 1);
	assert_int_equal(fd, -1);
	json_object_put(message);
	assert_int_equal(agent_receive(agent, WAIT_MS, &message, &fd, &err), 1);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &got), 0);
	assert_int_equal(fstat(script_fd, &sent), 0);
	assert_true(got.st_rdev == sent.st_rdev);
	close(fd);
	json_object_put(message);
	assert_int_equal(agent_receive(agent, WAIT_MS, &message, &fd, &err), 1);
	assert_int_equal(fd, -1);
	json_object_put(message);
	part(agent);
	close(script_fd);
	script_fd = -1;
}

static void refused(const char *text, const char *why)
{
	struct agent *agent = NULL;
	struct err err = { 0 };

	assert_int_equal(meet(&agent, text, &err), -1);
	assert_null(agent);
	if (!strstr(err.text, why))
		fail_msg("\"%s\" does not say \"%s\"", err.text, why);
	pthread_join(thread, NULL);
}

static void refuses_other_agents(void **state)
{
	(void)state;
	refused("", "closed the connection");
	refused("SSH-2.0\n", "no message");
	refused("[]\n", "no message");
	refused("{\"event\":\"jobs\"}\n", "no agent's socket");
	refused("{\"event\":\"hello\",\"version\":2,\"mvd\":\"9\"}\n",
		"version 2");
	refused("{\"event\":\"error\",\"text\":\"too many\"}\n", "too many");
}

static void waits_no_longer_than_asked(void **state)
{
	struct json_object *message;
	struct agent *agent;
	struct err err = { 0 };
	int fd;

	(void)state;
	assert_int_equal(meet(&agent, HELLO "{\"event\":\"half", &err), 0);
	assert_int_equal(agent_receive(agent, 0, &message, &fd, &err) == 1, 0);
	assert_null(message);
	part(agent);
}

static void says_that_nobody_is_there(void **state)
{
	struct agent *agent;
	struct err err = { 0 };

	(void)state;
	setenv("MONOVISOR_SOCKET", "/nonexistent/mvd.sock", 1);
	assert_int_equal(agent_connect(&agent, AGENT_START, "test", &err), -1);
	assert_int_equal(err.num, ENOENT);
	assert_non_null(strstr(err.text, "MONOVISOR_SOCKET"));
}

static void wants_private_directories(void **state)
{
	char found[PATH_MAX], link_path[160];
	struct err err = { 0 };

	(void)state;
	setenv("XDG_RUNTIME_DIR", dir, 1);
	assert_int_equal(agent_private_dir(found, sizeof(found), false, &err),
			 -1);
	assert_int_equal(err.num, ENOENT);
	assert_int_equal(agent_private_dir(found, sizeof(found), true, &err), 0);
	assert_int_equal(agent_check_private(found, NULL), 0);
	chmod(found, 0755);
	assert_int_equal(agent_private_dir(found, sizeof(found), true, &err),
			 -1);
	assert_non_null(strstr(err.text, "open to other users"));
	chmod(found, 0700);
	if (geteuid() == 0) {
		assert_int_equal(chown(found, 1, 1), 0);
		assert_int_equal(agent_check_private(found, &err), -1);
		assert_non_null(strstr(err.text, "belongs to user 1"));
	}
	rmdir(found);
	/* Somebody's link to a directory that would do. */
	snprintf(link_path, sizeof(link_path), "%s/monovisor", dir);
	assert_int_equal(symlink(dir, link_path), 0);
	assert_int_equal(agent_private_dir(found, sizeof(found), true, &err),
			 -1);
	unlink(link_path);
	unsetenv("XDG_RUNTIME_DIR");
}

static void refuses_long_socket_paths(void **state)
{
	struct sockaddr_un address;
	char longest[200];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[108] = '\0';
	assert_int_equal(agent_address(&address, longest, NULL), -1);
	longest[107] = '\0';
	assert_int_equal(agent_address(&address, longest, NULL), 0);
	assert_int_equal(agent_address(&address, "", NULL), -1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_hello),
		TEST(gets_the_descriptor_with_its_message),
		TEST(refuses_other_agents),
		TEST(waits_no_longer_than_asked),
		TEST(says_that_nobody_is_there),
		TEST(wants_private_directories),
		TEST(refuses_long_socket_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
