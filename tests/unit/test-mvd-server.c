/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's socket with clients that are slow, hostile, or many. */
#include "vmm-agent/mvd-server.h"

#include "vmm-agent/agent-client.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 10000

static struct server *server;
static char *dir, *path;
static unsigned requests, closed;
static enum request_op last_op;
static int pass_fd = -1;

/* Answers each request with a line, or many, or a descriptor. */
static void on_request(void *ctx, struct client *client,
		       const struct request *request)
{
	(void)ctx;
	requests++;
	last_op = request->op;
	if (request->op == REQUEST_NODES) {
		for (unsigned i = 0; i < 200; i++)
			client_error(client, "nodes", path, path);
	} else if (pass_fd >= 0) {
		client_send_fd(client, event_new("attach"), dup(pass_fd));
	} else {
		client_send(client, event_new("ok"));
	}
}

static void on_closed(void *ctx, struct client *client)
{
	(void)ctx;
	(void)client;
	closed++;
}

static const struct server_handlers handlers = { on_request, on_closed };

static int set_up(void **state)
{
	struct err err = { 0 };

	(void)state;
	dir = g_dir_make_tmp("mvd-server-XXXXXX", NULL);
	path = g_build_filename(dir, "mvd.sock", NULL);
	requests = closed = 0;
	server = server_new(path, 0666, "alpha", &handlers, NULL, &err);
	if (!server)
		fail_msg("%s", err.text);
	server_open(server);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	server_free(server);
	while (g_main_context_iteration(NULL, FALSE))
		;
	assert_int_equal(access(path, F_OK), -1);
	rmdir(dir);
	g_free(dir);
	g_free(path);
	return 0;
}

static gboolean wake(void *p)
{
	(void)p;
	return G_SOURCE_CONTINUE;
}

/* Run the loop until the condition holds, for a bounded time. */
#define LOOP_UNTIL(condition) do { \
	guint waker = g_timeout_add(5, wake, NULL); \
	gint64 limit = g_get_monotonic_time() + WAIT_MS * 1000; \
	while (!(condition) && g_get_monotonic_time() < limit) \
		g_main_context_iteration(NULL, TRUE); \
	g_source_remove(waker); \
	assert_true(condition); \
} while (0)

static int try_dial(int flags)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static int dial(void)
{
	int fd = try_dial(SOCK_NONBLOCK);

	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
			 (ssize_t)strlen(text));
}

static void greet(int fd)
{
	say(fd, "{\"op\":\"hello\",\"version\":1}\n");
}

/* What has come so far, added to `heard`. False at the end of the connection. */
static bool hear(int fd, GString *heard)
{
	char bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		g_string_append_len(heard, bytes, n);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static unsigned lines(const GString *heard)
{
	unsigned n = 0;

	for (gsize i = 0; i < heard->len; i++)
		n += heard->str[i] == '\n';
	return n;
}

static void serves(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	struct stat st;
	int fd = dial();

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	greet(fd);
	say(fd, "{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 2);
	assert_int_equal(requests, 1);
	assert_non_null(strstr(heard->str, "\"event\":\"hello\""));
	assert_non_null(strstr(heard->str, "\"node\":\"alpha\""));
	close(fd);
	LOOP_UNTIL(closed == 1 && server_clients(server) == 0);
}

static void takes_lines_in_pieces(void **state)
{
	static const char text[] = "{\"op\":\"hello\",\"version\":1}\n"
		"{\"op\":\"jobs\"}\n{\"op\":\"doctor\"}\n";
	g_autoptr(GString) heard = g_string_new(NULL);
	int fd = dial();

	(void)state;
	for (size_t i = 0; text[i]; i++) {
		char byte[2] = { text[i], '\0' };

		say(fd, byte);
		g_main_context_iteration(NULL, FALSE);
	}
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 3);
	assert_int_equal(requests, 2);
	assert_int_equal(last_op, REQUEST_DOCTOR);
	close(fd);
}

/* More than is served at one go, in one go. */
static void serves_many_lines_at_once(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	g_autoptr(GString) text = g_string_new(NULL);
	int fd = dial();

	(void)state;
	greet(fd);
	for (unsigned i = 0; i < 500; i++)
		g_string_append(text, "{\"op\":\"jobs\"}\n");
	say(fd, text->str);
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 501);
	assert_int_equal(requests, 500);
	close(fd);
}

static void wants_a_hello(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	int fd = dial();

	(void)state;
	say(fd, "{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(!hear(fd, heard));
	assert_non_null(strstr(heard->str, "no hello"));
	assert_int_equal(requests, 0);
	close(fd);
}

static void wants_its_version(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	int fd = dial();

	(void)state;
	say(fd, "{\"op\":\"hello\",\"version\":2}\n{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(!hear(fd, heard));
	assert_non_null(strstr(heard->str, "version 2"));
	assert_int_equal(requests, 0);
	close(fd);
}

static void survives_nonsense(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	int fd = dial();

	(void)state;
	greet(fd);
	say(fd, "nonsense\n\n\xff\xfe\n{\"op\":\"x\"}\n{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 6);
	assert_int_equal(requests, 1);
	close(fd);
}

static void ends_endless_lines(void **state)
{
	g_autofree char *long_text = g_strnfill(AGENT_MAX_LINE, 'x');
	g_autoptr(GString) heard = g_string_new(NULL);
	int fd = dial();

	(void)state;
	greet(fd);
	say(fd, long_text);
	say(fd, "x");
	LOOP_UNTIL(!hear(fd, heard));
	assert_non_null(strstr(heard->str, "too long"));
	close(fd);
	LOOP_UNTIL(server_clients(server) == 0);
}

/* It asks and asks and never reads: it is dropped, nobody else waits. */
static void drops_who_does_not_read(void **state)
{
	g_autoptr(GString) heard = g_string_new(NULL);
	int deaf = dial(), other = dial();

	(void)state;
	greet(deaf);
	for (unsigned i = 0; i < 1000 && closed == 0; i++) {
		if (send(deaf, "{\"op\":\"nodes\"}\n", 15, MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			break;
		while (g_main_context_iteration(NULL, FALSE))
			;
	}
	LOOP_UNTIL(closed == 1);
	greet(other);
	say(other, "{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(hear(other, heard) && lines(heard) == 2);
	close(deaf);
	close(other);
}

static void passes_descriptors(void **state)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char bytes[4096];
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
			      .msg_control = &control };
	struct stat sent, got;
	int fd = dial(), received = -1;

	(void)state;
	pass_fd = open("/dev/null", O_RDONLY);
	greet(fd);
	say(fd, "{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(requests == 1);
	while (received < 0) {
		msg.msg_controllen = sizeof(control);
		g_main_context_iteration(NULL, FALSE);
		if (recvmsg(fd, &msg, MSG_DONTWAIT) > 0 && CMSG_FIRSTHDR(&msg))
			memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&msg)),
			       sizeof(received));
	}
	assert_int_equal(fstat(pass_fd, &sent), 0);
	assert_int_equal(fstat(received, &got), 0);
	assert_true(sent.st_rdev == got.st_rdev);
	close(received);
	close(pass_fd);
	pass_fd = -1;
	close(fd);
}

/* In a process of its own: dial often, as an ordinary user. */
static void dial_often(unsigned times, int until)
{
	char byte;

	if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
		_exit(1);
	while (times--)
		if (try_dial(0) < 0)
			_exit(2);
	(void)!read(until, &byte, 1);
	_exit(0);
}

static void bounds_clients(void **state)
{
	int ends[2], status;
	gint64 quiet;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	child = fork();
	if (child == 0) {
		close(ends[1]);
		dial_often(600, ends[0]);
	}
	LOOP_UNTIL(server_clients(server) == 512);
	quiet = g_get_monotonic_time() + G_USEC_PER_SEC / 2;
	while (g_get_monotonic_time() < quiet)
		g_main_context_iteration(NULL, FALSE);
	assert_int_equal(server_clients(server), 512);
	/* Another user is served all the same. */
	if (geteuid() == 0) {
		int fd = dial();

		LOOP_UNTIL(server_clients(server) == 513);
		close(fd);
	}
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	LOOP_UNTIL(server_clients(server) == 0);
}

static void keeps_requests_until_it_is_open(void **state)
{
	g_autofree char *other = g_build_filename(dir, "other.sock", NULL);
	g_autoptr(GString) heard = g_string_new(NULL);
	struct server *closed_one = server_new(other, 0600, "alpha", &handlers,
					       NULL, NULL);
	char *open_path = path;
	int fd;

	(void)state;
	assert_non_null(closed_one);
	path = other;
	fd = dial();
	path = open_path;
	greet(fd);
	say(fd, "{\"op\":\"jobs\"}\n");
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 2);
	assert_non_null(strstr(heard->str, "connecting"));
	assert_int_equal(requests, 0);
	server_open(closed_one);
	LOOP_UNTIL(hear(fd, heard) && lines(heard) == 3);
	assert_int_equal(requests, 1);
	server_free(closed_one);
	close(fd);
}

static void replaces_a_stale_socket(void **state)
{
	g_autofree char *other = g_build_filename(dir, "stale.sock", NULL);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct server *second;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", other);
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      sizeof(address)), 0);
	close(fd);
	second = server_new(other, 0600, "alpha", &handlers, NULL, NULL);
	assert_non_null(second);
	server_free(second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(serves),
		TEST(takes_lines_in_pieces),
		TEST(serves_many_lines_at_once),
		TEST(wants_a_hello),
		TEST(wants_its_version),
		TEST(survives_nonsense),
		TEST(ends_endless_lines),
		TEST(drops_who_does_not_read),
		TEST(passes_descriptors),
		TEST(bounds_clients),
		TEST(keeps_requests_until_it_is_open),
		TEST(replaces_a_stale_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
