/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/agent-paths.h"

#include "net/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const installed_dirs[] = {
	MV_SBINDIR,
	MV_BINDIR,
	MV_LIBEXECDIR,
};

static const char *const libvirt_sockets[] = {
	"/run/libvirt/libvirt-sock",
	"/run/libvirt/virtqemud-sock",
};

int agent_check_private(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set(err, errno, "cannot use the private directory %s "
			       "(see XDG_RUNTIME_DIR in mvd(8))", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR, "cannot use the private directory %s",
			       path);
	if (st.st_uid != geteuid())
		return err_set(err, 0,
			       "the directory %s belongs to user %u, not to you "
			       "(remove it, or set XDG_RUNTIME_DIR)",
			       path, (unsigned)st.st_uid);
	if (st.st_mode & 077)
		return err_set(err, 0,
			       "the directory %s is open to other users (chmod "
			       "700 it)", path);
	return 0;
}

int agent_private_dir(char *path, size_t size, bool create, struct err *err)
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	int len;

	if (base && base[0] == '/')
		len = snprintf(path, size, "%s/monovisor", base);
	else
		len = snprintf(path, size, "/tmp/monovisor-%u",
			       (unsigned)geteuid());
	if (len < 0 || (size_t)len >= size)
		return err_set(err, ENAMETOOLONG, "cannot use XDG_RUNTIME_DIR");
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, errno, "cannot make the directory %s "
			       "(XDG_RUNTIME_DIR must be unset, or a directory "
			       "of your own)", path);
	return agent_check_private(path, err);
}

int agent_address(struct sockaddr_un *address, const char *path,
		  struct err *err)
{
	size_t len = strlen(path);

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	if (len == 0 || len >= sizeof(address->sun_path))
		return err_set(err, ENAMETOOLONG, "cannot use the socket path %s",
			       path);
	memcpy(address->sun_path, path, len + 1);
	return 0;
}

bool agent_path_answers(const char *path)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	return fd >= 0 && agent_address(&address, path, NULL) == 0 &&
	       connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

bool agent_libvirt_runs(void)
{
	size_t i;

	for (i = 0; i < sizeof(libvirt_sockets) / sizeof(char *); i++)
		if (agent_path_answers(libvirt_sockets[i]))
			return true;
	return false;
}

int64_t agent_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int try_program(char *path, size_t size, const char *dir,
		       const char *below, const char *name)
{
	int len = snprintf(path, size, "%s/%s%s%s", dir, below,
			   *below ? "/" : "", name);

	if (len < 0 || (size_t)len >= size)
		return -1;
	return access(path, X_OK);
}

/* The directory of the running executable, without a trailing slash. */
static int own_dir(char *dir, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", dir, size - 1);
	char *slash;

	if (len <= 0)
		return -1;
	dir[len] = '\0';
	slash = strrchr(dir, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	return 0;
}

int agent_find_program(const char *name, const char *build_dir, char *path,
		       size_t size)
{
	char dir[PATH_MAX], below[NAME_MAX];
	size_t i;

	if (own_dir(dir, sizeof(dir)) == 0) {
		if (try_program(path, size, dir, "", name) == 0)
			return 0;
		snprintf(below, sizeof(below), "../%s", build_dir);
		if (try_program(path, size, dir, below, name) == 0)
			return 0;
	}
	for (i = 0; i < sizeof(installed_dirs) / sizeof(installed_dirs[0]); i++)
		if (try_program(path, size, installed_dirs[i], "", name) == 0)
			return 0;
	return -1;
}
