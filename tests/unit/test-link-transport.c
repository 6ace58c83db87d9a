/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening transports, and what they say when they cannot be opened. */
#include "net/cleanup.h"
#include "net/transport.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/vm_sockets.h>

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/mv-transport-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void assert_flags(int fd)
{
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_table(void **state)
{
	(void)state;
	for (int kind = 0; kind < TRANSPORT_KINDS; kind++) {
		const struct transport *t =
			transport_get((enum transport_kind)kind);

		assert_int_equal(t->kind, kind);
		assert_ptr_equal(transport_find(t->name), t);
		assert_in_range(t->write_size, 4096, TRANSPORT_MAX_WRITE);
		assert_int_equal(t->eof_is_pause, kind == TRANSPORT_SERIAL);
	}
	assert_null(transport_find("carrier pigeon"));
	assert_null(transport_find(""));
}

static void test_unix(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_UNIX);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	cleanup_fd int server = socket(AF_UNIX, SOCK_STREAM, 0);
	cleanup_fd int fd = -1;
	struct err err;

	(void)state;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/socket", dir);
	assert_int_equal(t->open(at.sun_path, &err), -1);
	assert_int_equal(err.num, ENOENT);
	assert_non_null(strstr(err.text, at.sun_path));
	assert_int_equal(bind(server, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(t->open(at.sun_path, &err), -1);
	assert_int_equal(err.num, ECONNREFUSED);
	assert_int_equal(listen(server, 1), 0);
	fd = t->open(at.sun_path, &err);
	assert_true(fd >= 0);
	assert_flags(fd);
}

static void test_unix_bad_path(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_UNIX);
	char path[200];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(t->open(path, NULL), -1);
	assert_int_equal(t->open("", NULL), -1);
}

/* A full queue of the listener is an error at once, not a wait. */
static void test_unix_busy(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_UNIX);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	cleanup_fd int server = socket(AF_UNIX, SOCK_STREAM, 0);
	int fds[8], n = 0;
	struct err err;

	(void)state;
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/busy", dir);
	assert_int_equal(bind(server, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(server, 0), 0);
	while (n < 8 && (fds[n] = t->open(at.sun_path, &err)) >= 0)
		n++;
	assert_in_range(n, 1, 7);
	assert_int_equal(err.num, EAGAIN);
	while (n)
		close(fds[--n]);
}

static void add_port(const char *device, const char *name)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/ports/%s", dir, device);
	assert_int_equal(mkdir(path, 0755), 0);
	if (!name)
		return;
	strcat(path, "/name");
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(name, file);
	fclose(file);
}

static void expect_device(const char *name, const char *device)
{
	char path[100];
	struct err err;
	cleanup_free char *found = NULL;

	snprintf(path, sizeof(path), "%s/ports", dir);
	found = transport_port_device(path, name, &err);
	if (device) {
		assert_non_null(found);
		assert_string_equal(found, device);
	} else {
		assert_null(found);
		assert_int_equal(err.num, ENOENT);
		assert_non_null(strstr(err.text, name));
	}
}

static void test_port_by_name(void **state)
{
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/ports", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	expect_device("org.monovisor.link", NULL);
	add_port("vport0p0", NULL);
	add_port("vport0p1", "org.qemu.guest_agent.0\n");
	add_port("vport0p2", "org.monovisor.link.other\n");
	add_port("vport1p1", "org.monovisor.link\n");
	add_port("vport1p2", "");
	expect_device("org.monovisor.link", "vport1p1");
	expect_device("org.monovisor", NULL);
	/* The device's own name will do. */
	expect_device("vport0p2", "vport0p2");
	expect_device("..", NULL);
}

static void test_port_absent(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_SERIAL);
	struct err err;

	(void)state;
	assert_int_equal(t->open("org.monovisor.absent", &err), -1);
	assert_int_equal(err.num, ENOENT);
	assert_non_null(strstr(err.text, "virtio-serial"));
}

static void test_vsock_addresses(void **state)
{
	static const char *const bad[] = {
		"", ":", "2", "2:", ":1", "2:1x", "x:1", "-1:1", "+2:1",
		"4294967296:1", "2:4294967296", "2:99999999999999999999",
		" 2:1", "2:1 ", "2::1", "0x2:1",
	};
	const struct transport *t = transport_get(TRANSPORT_VSOCK);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err;

		assert_int_equal(t->open(bad[i], &err), -1);
		assert_int_equal(err.num, EINVAL);
		assert_non_null(strstr(err.text, "CID:PORT"));
	}
}

static int listen_vsock(unsigned *port)
{
	struct sockaddr_vm at = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_LOCAL,
		.svm_port = VMADDR_PORT_ANY,
	};
	socklen_t len = sizeof(at);
	cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, 1) || getsockname(fd, (struct sockaddr *)&at, &len))
		return -1;
	*port = at.svm_port;
	return steal_fd(&fd);
}

/* Where the kernel has the local vsock transport. */
static void test_vsock(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_VSOCK);
	unsigned port = 0;
	cleanup_fd int server = listen_vsock(&port), fd = -1;
	char address[40];
	struct err err;

	(void)state;
	if (server < 0) {
		print_message("SKIPPED, though the file passes: vsock was not tried, "
			      "the kernel has no loopback of it (vsock_loopback): %s\n",
			      strerror(errno));
		skip();
	}
	snprintf(address, sizeof(address), "%u:%u", VMADDR_CID_LOCAL, port);
	fd = t->open(address, &err);
	assert_true(fd >= 0);
	assert_flags(fd);
}

/* Whatever this kernel lacks, the message names the address. */
static void test_vsock_refused(void **state)
{
	const struct transport *t = transport_get(TRANSPORT_VSOCK);
	struct err err;

	(void)state;
	assert_int_equal(t->open("1:4294967294", &err), -1);
	assert_true(err.num > 0);
	assert_non_null(strstr(err.text, "vsock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_bad_path),
		cmocka_unit_test(test_unix_busy),
		cmocka_unit_test(test_port_by_name),
		cmocka_unit_test(test_port_absent),
		cmocka_unit_test(test_vsock_addresses),
		cmocka_unit_test(test_vsock),
		cmocka_unit_test(test_vsock_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
