/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/transport.h"

#include "net/cleanup.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PORTS_DIR "/sys/class/virtio-ports"

/* The kernel cuts a write to a port at 32 KiB. */
#define SERIAL_WRITE_SIZE (32 * 1024)

static int open_unix(const char *path, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	cleanup_fd int fd = -1;

	if (!len || len >= sizeof(to.sun_path))
		return err_set(err, ENAMETOOLONG,
			       "cannot connect to the socket %s", path);
	memcpy(to.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_set(err, errno, "cannot make a unix socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return err_set(err, errno, "cannot connect to the socket %s",
			       path);
	return steal_fd(&fd);
}

/* Does the file `name` in this port's directory hold exactly `want`? */
static bool port_is_named(int ports, const char *port, const char *want)
{
	char path[300], name[256];
	cleanup_fd int fd = -1;
	ssize_t len;

	if (snprintf(path, sizeof(path), "%s/name", port) >= (int)sizeof(path))
		return false;
	fd = openat(ports, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, name, sizeof(name) - 1);
	if (len < 0)
		return false;
	name[len] = '\0';
	name[strcspn(name, "\n")] = '\0';
	return !strcmp(name, want);
}

static void cleanup_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

char *transport_port_device(const char *ports_dir, const char *name,
			    struct err *err)
{
	DIR *dir __attribute__((cleanup(cleanup_dir))) = opendir(ports_dir);
	const struct dirent *entry;
	char *device;

	if (!dir) {
		err_set(err, errno, "cannot list the virtio-serial ports in %s",
			ports_dir);
		return NULL;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.' &&
		    (!strcmp(entry->d_name, name) ||
		     port_is_named(dirfd(dir), entry->d_name, name)))
			break;
	if (!entry) {
		err_set(err, ENOENT, "no virtio-serial port is called %s", name);
		return NULL;
	}
	device = strdup(entry->d_name);
	if (!device)
		err_set(err, ENOMEM, "cannot open the virtio-serial port %s",
			name);
	return device;
}

static int open_serial(const char *name, struct err *err)
{
	cleanup_free char *device = transport_port_device(PORTS_DIR, name, err);
	char path[300];
	int fd;

	if (!device)
		return -1;
	snprintf(path, sizeof(path), "/dev/%s", device);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, errno,
			       "cannot open %s, the virtio-serial port %s", path,
			       name);
	return fd;
}

/* A decimal number up to UINT32_MAX that is followed by `end`. */
static const char *parse_u32(const char *text, char end, uint32_t *value)
{
	uint64_t sum = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		sum = sum * 10 + (uint64_t)(*at - '0');
		if (sum > UINT32_MAX)
			return NULL;
	}
	*value = (uint32_t)sum;
	return at > text && *at == end ? at + 1 : NULL;
}

static int parse_vsock(const char *address, struct sockaddr_vm *to,
		       struct err *err)
{
	const char *port = parse_u32(address, ':', &to->svm_cid);

	if (!port || !parse_u32(port, '\0', &to->svm_port))
		return err_set(err, EINVAL, "%s is no vsock address (CID:PORT)",
			       address);
	return 0;
}

/*
 * A blocking connect, because the kernel bounds it (two seconds unless told
 * otherwise) and the caller has nothing to do without its transport.
 */
static int open_vsock(const char *address, struct err *err)
{
	struct sockaddr_vm to = { .svm_family = AF_VSOCK };
	cleanup_fd int fd = -1;
	int failed;

	if (parse_vsock(address, &to, err))
		return -1;
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, errno, "cannot make a vsock socket");
	do
		failed = connect(fd, (struct sockaddr *)&to, sizeof(to));
	while (failed && errno == EINTR);
	if (failed || fcntl(fd, F_SETFL, O_NONBLOCK))
		return err_set(err, errno, "cannot connect to vsock %s",
			       address);
	return steal_fd(&fd);
}

static const struct transport transports[] = {
	[TRANSPORT_UNIX] = {
		.kind = TRANSPORT_UNIX,
		.name = "unix",
		.write_size = TRANSPORT_MAX_WRITE,
		.open = open_unix,
	},
	[TRANSPORT_SERIAL] = {
		.kind = TRANSPORT_SERIAL,
		.name = "virtio-serial",
		.write_size = SERIAL_WRITE_SIZE,
		.eof_is_pause = true,
		.open = open_serial,
	},
	[TRANSPORT_VSOCK] = {
		.kind = TRANSPORT_VSOCK,
		.name = "vsock",
		.write_size = TRANSPORT_MAX_WRITE,
		.open = open_vsock,
	},
};
static_assert(sizeof(transports) / sizeof(transports[0]) == TRANSPORT_KINDS,
	      "transports");

const struct transport *transport_get(enum transport_kind kind)
{
	assert(kind < TRANSPORT_KINDS);
	return &transports[kind];
}

const struct transport *transport_find(const char *name)
{
	for (int i = 0; i < TRANSPORT_KINDS; i++)
		if (!strcmp(transports[i].name, name))
			return &transports[i];
	return NULL;
}
