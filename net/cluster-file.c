/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/cluster-file.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* All that may be in one of our directories. */
static const char *const all_files[] = {
	"ca.pem", "node.pem", "node.key", "roster.json", "ca.key", "invites",
	"ca.pem.new", "node.pem.new", "node.key.new", "roster.json.new",
	"ca.key.new", "invites.new", "datagram.key", "datagram.key.new",
};

char *cluster_file_read(const char *dir, const char *name, size_t max,
			struct err *err)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	g_autofree char *text = NULL;
	size_t used = 0;
	ssize_t n = 0;

	if (fd < 0) {
		err_set(err, errno, "cannot open %s", path);
		return NULL;
	}
	text = g_malloc(max + 1);
	do {
		n = TEMP_FAILURE_RETRY(read(fd, text + used, max + 1 - used));
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0 && used <= max);
	if (n < 0) {
		err_set(err, errno, "cannot read %s", path);
		return NULL;
	}
	if (used > max || memchr(text, '\0', used)) {
		err_set(err, EINVAL, "%s is too long or no text", path);
		return NULL;
	}
	text[used] = '\0';
	return g_steal_pointer(&text);
}

static int sync_dir(const char *dir, struct err *err)
{
	cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_set(err, errno, "cannot sync the directory %s", dir);
	return 0;
}

static int write_synced(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC |
				 O_CLOEXEC | O_NOFOLLOW, 0600);
	size_t len = strlen(text), done = 0;
	ssize_t n;

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return -1;
	while (done < len) {
		n = TEMP_FAILURE_RETRY(write(fd, text + done, len - done));
		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	return fsync(fd);
}

int cluster_file_write(const char *dir, const char *name, const char *text,
		       struct err *err)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);
	g_autofree char *fresh = g_strconcat(path, ".new", NULL);

	if (write_synced(fresh, text) < 0 || rename(fresh, path) < 0) {
		err_set(err, errno, "cannot write %s", path);
		unlink(fresh);
		return -1;
	}
	return sync_dir(dir, err);
}

/* Files that are not ours stay, and the directory with them. */
static void remove_dir(const char *dir)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(all_files); i++) {
		g_autofree char *path = g_build_filename(dir, all_files[i],
							 NULL);

		unlink(path);
	}
	rmdir(dir);
}

static int fill_dir(const char *dir, const struct cluster_file *files,
		    size_t count, struct err *err)
{
	size_t i;

	if (mkdir(dir, 0700) < 0)
		return err_set(err, errno, "cannot make the directory %s", dir);
	for (i = 0; i < count; i++)
		if (cluster_file_write(dir, files[i].name, files[i].text,
				       err) < 0)
			return -1;
	return 0;
}

static int replace_dir(const char *fresh, const char *dir, struct err *err)
{
	g_autofree char *old = g_strconcat(dir, ".old", NULL);
	g_autofree char *parent = g_path_get_dirname(dir);

	remove_dir(old);
	if ((rename(dir, old) < 0 && errno != ENOENT) || rename(fresh, dir) < 0)
		return err_set(err, errno, "cannot make the directory %s", dir);
	remove_dir(old);
	return sync_dir(parent, err);
}

int cluster_dir_write(const char *dir, const struct cluster_file *files,
		      size_t count, struct err *err)
{
	g_autofree char *fresh = g_strconcat(dir, ".new", NULL);

	remove_dir(fresh);
	if (fill_dir(fresh, files, count, err) < 0 ||
	    replace_dir(fresh, dir, err) < 0) {
		remove_dir(fresh);
		return -1;
	}
	return 0;
}
