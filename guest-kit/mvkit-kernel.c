/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/mvkit-kernel.h"

#include "net/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/*
 * The x86 boot protocol (Documentation/arch/x86/boot.rst of the kernel): the
 * header's magic is at 0x202, and the 16-bit field at 0x20e, plus 0x200, is
 * where the version string begins.
 */
#define BOOT_FLAG_OFFSET 0x1fe
#define BOOT_MAGIC_OFFSET 0x202
#define BOOT_VERSION_OFFSET 0x20e
#define BOOT_VERSION_BASE 0x200
#define RELEASE_MAX 64 /* uname(2) has 65 bytes with the NUL */
#define BOOT_READ_SIZE (BOOT_VERSION_BASE + UINT16_MAX + RELEASE_MAX + 1)

#define IMAGE_PREFIX "vmlinuz-"
#define CLOUD_SUFFIX "-cloud-amd64"

static bool has_suffix(const char *text, const char *suffix)
{
	size_t len = strlen(text), suffix_len = strlen(suffix);

	return len >= suffix_len && !strcmp(text + len - suffix_len, suffix);
}

/* A release becomes part of file names, so it must not lead elsewhere. */
static bool release_is_sane(const char *release, size_t len)
{
	if (!len || len > RELEASE_MAX || release[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)release[i]) && !strchr("._+~-", release[i]))
			return false;
	return true;
}

static ssize_t read_head(int fd, uint8_t *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buf + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* The release in the header of an image of which `len` bytes were read. */
static char *release_of_header(const uint8_t *head, size_t len)
{
	size_t offset, room, length;
	const char *release;

	if (len < BOOT_VERSION_OFFSET + 2 || head[BOOT_FLAG_OFFSET] != 0x55 ||
	    head[BOOT_FLAG_OFFSET + 1] != 0xaa ||
	    memcmp(head + BOOT_MAGIC_OFFSET, "HdrS", 4))
		return NULL;
	offset = BOOT_VERSION_BASE + (head[BOOT_VERSION_OFFSET] |
				      (size_t)head[BOOT_VERSION_OFFSET + 1] << 8);
	if (offset == BOOT_VERSION_BASE || offset >= len)
		return NULL;
	release = (const char *)head + offset;
	room = len - offset;
	for (length = 0; length < room && length <= RELEASE_MAX; length++)
		if (!release[length] || release[length] == ' ')
			break;
	if (length == room || !release_is_sane(release, length))
		return NULL;
	return strndup(release, length);
}

char *kernel_release(const char *path, struct err *err)
{
	cleanup_free uint8_t *head = malloc(BOOT_READ_SIZE);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *release;
	ssize_t len;

	if (fd < 0 || !head) {
		err_set(err, errno, "cannot read the kernel %s", path);
		return NULL;
	}
	len = read_head(fd, head, BOOT_READ_SIZE);
	if (len < 0) {
		err_set(err, errno, "cannot read the kernel %s", path);
		return NULL;
	}
	release = release_of_header(head, (size_t)len);
	if (!release)
		err_set(err, 0, "%s is not an x86 kernel (a bzImage that names its release)",
			path);
	return release;
}

static bool has_modules(const struct kernel_dirs *dirs, const char *release)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s/modules.dep.bin", dirs->modules,
		     release) >= (int)sizeof(path))
		return false;
	return !access(path, R_OK);
}

/* A kernel in /boot that can be the default. */
struct candidate {
	int rank;
	struct kernel kernel;
};

static int rank_of(const char *release, const char *running)
{
	if (has_suffix(release, CLOUD_SUFFIX))
		return 2;
	return !strcmp(release, running) ? 1 : 0;
}

/* Keep the better of `best` and the image `name` in /boot. */
static void consider(struct candidate *best, const char *name,
		     const char *running, const struct kernel_dirs *dirs)
{
	cleanup_free char *path = NULL;
	cleanup_free char *release = NULL;
	int rank;

	if (strncmp(name, IMAGE_PREFIX, strlen(IMAGE_PREFIX)))
		return;
	if (asprintf(&path, "%s/%s", dirs->boot, name) < 0) {
		path = NULL;
		return;
	}
	release = kernel_release(path, NULL);
	if (!release || !has_modules(dirs, release))
		return;
	rank = rank_of(release, running);
	if (best->kernel.release &&
	    (rank < best->rank || (rank == best->rank &&
				   strverscmp(release, best->kernel.release) <= 0)))
		return;
	kernel_free(&best->kernel);
	best->rank = rank;
	best->kernel.path = steal_pointer(&path);
	best->kernel.release = steal_pointer(&release);
}

static int find_default(struct kernel *kernel, const struct kernel_dirs *dirs,
			struct err *err)
{
	struct candidate best = { 0 };
	struct utsname running;
	struct dirent *entry;
	DIR *dir = opendir(dirs->boot);

	if (!dir)
		return err_set(err, errno, "cannot look for kernels in %s", dirs->boot);
	uname(&running);
	while ((entry = readdir(dir)))
		consider(&best, entry->d_name, running.release, dirs);
	closedir(dir);
	if (!best.kernel.path)
		return err_set(err, 0, "%s has no readable kernel with modules in %s "
			       "(install linux-image-cloud-amd64, or name a kernel "
			       "with --kernel)", dirs->boot, dirs->modules);
	*kernel = best.kernel;
	return 0;
}

static int find_by_path(struct kernel *kernel, const char *path, struct err *err)
{
	kernel->release = kernel_release(path, err);
	if (!kernel->release)
		return -1;
	kernel->path = realpath(path, NULL);
	if (!kernel->path)
		return err_set(err, errno, "cannot find the kernel %s", path);
	return 0;
}

static int find_by_release(struct kernel *kernel, const char *release,
			   const struct kernel_dirs *dirs, struct err *err)
{
	cleanup_free char *path = NULL;

	if (!release_is_sane(release, strlen(release)))
		return err_set(err, 0, "\"%s\" is neither a path (no slash) nor the "
			       "release of a kernel", release);
	if (asprintf(&path, "%s/" IMAGE_PREFIX "%s", dirs->boot, release) < 0) {
		path = NULL;
		return err_set(err, ENOMEM, "cannot find kernel %s", release);
	}
	return find_by_path(kernel, path, err);
}

int kernel_find(struct kernel *kernel, const char *wanted,
		const struct kernel_dirs *dirs, struct err *err)
{
	struct kernel found = { 0 };
	int rc;

	if (!wanted)
		rc = find_default(&found, dirs, err);
	else if (strchr(wanted, '/'))
		rc = find_by_path(&found, wanted, err);
	else
		rc = find_by_release(&found, wanted, dirs, err);
	if (rc < 0) {
		kernel_free(&found);
		return -1;
	}
	*kernel = found;
	return 0;
}

void kernel_free(struct kernel *kernel)
{
	free(kernel->path);
	free(kernel->release);
	*kernel = (struct kernel){ 0 };
}
