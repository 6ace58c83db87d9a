/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/mvkit-image.h"

#include "guest-kit/mvkit-cpio.h"
#include "net/cleanup.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Far above any kit or module; a limit so that a wrong path is not read for ever. */
#define IMAGE_MAX_FILE (256u << 20)

static void close_file(FILE **file)
{
	if (*file)
		fclose(*file);
}

static void free_cpio(struct cpio *cpio)
{
	cpio_free(cpio);
}

#define cleanup_file __attribute__((cleanup(close_file)))
#define cleanup_cpio __attribute__((cleanup(free_cpio)))

static void *read_whole(const char *path, size_t *size, struct err *err)
{
	cleanup_free uint8_t *data = NULL;
	cleanup_file FILE *file = fopen(path, "re");
	struct stat st;

	if (!file || fstat(fileno(file), &st) < 0) {
		err_set(err, errno, "cannot read %s", path);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size > IMAGE_MAX_FILE) {
		err_set(err, 0, "%s is not a file that belongs into an initramfs", path);
		return NULL;
	}
	*size = (size_t)st.st_size;
	data = malloc(*size);
	if (!data || fread(data, 1, *size, file) != *size) {
		err_set(err, ferror(file) ? errno : 0, "cannot read all of %s", path);
		return NULL;
	}
	return steal_pointer(&data);
}

/*
 * A kit that asks for a dynamic loader makes the guest's kernel panic with a
 * message that names neither: say it here instead.
 */
static bool is_static_program(const uint8_t *data, size_t size)
{
	Elf64_Ehdr head;
	Elf64_Phdr segment;

	if (size < sizeof(head))
		return false;
	memcpy(&head, data, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_machine != EM_X86_64 ||
	    head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phentsize != sizeof(segment) ||
	    head.e_phoff > size ||
	    (size - head.e_phoff) / sizeof(segment) < head.e_phnum)
		return false;
	for (unsigned i = 0; i < head.e_phnum; i++) {
		memcpy(&segment, data + head.e_phoff + i * sizeof(segment), sizeof(segment));
		if (segment.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static int add_file(struct cpio *cpio, const char *name, mode_t mode,
		    const char *path, struct err *err)
{
	size_t size;
	void *data = read_whole(path, &size, err);

	if (!data)
		return -1;
	return cpio_add(cpio, name, S_IFREG | mode, data, size, err);
}

static int add_kit(struct cpio *cpio, const char *path, struct err *err)
{
	const struct cpio_entry *entry;

	if (add_file(cpio, "init", 0755, path, err) < 0)
		return -1;
	entry = &cpio->entries[cpio->count - 1];
	if (!is_static_program(entry->data, entry->size))
		return err_set(err, 0, "%s is not a statically linked x86-64 program", path);
	return 0;
}

static int add_skeleton(struct cpio *cpio, struct err *err)
{
	static const char *const directories[] = { "dev", "home", "modules",
						   "proc", "run", "sys" };

	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
		if (cpio_add_directory(cpio, directories[i], err) < 0)
			return -1;
	return cpio_add_device(cpio, "dev/console", 0600, makedev(5, 1), err);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int add_load_list(struct cpio *cpio, const struct modules *modules,
			 struct err *err)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	bool failed = !out;

	for (size_t i = 0; out && i < modules->count; i++)
		fprintf(out, "%s\n", base_name(modules->paths[i]));
	if (out)
		failed = fclose(out) != 0;
	if (failed) {
		free(text);
		return err_set(err, ENOMEM, "cannot make the list of modules");
	}
	return cpio_add(cpio, "modules/load", S_IFREG | 0644, text, size, err);
}

static int add_modules(struct cpio *cpio, const struct modules *modules,
		       struct err *err)
{
	for (size_t i = 0; i < modules->count; i++) {
		const char *path = modules->paths[i];
		cleanup_free char *name = NULL;

		if (asprintf(&name, "modules/%s", base_name(path)) < 0) {
			name = NULL;
			return err_set(err, ENOMEM, "cannot add %s", path);
		}
		if (add_file(cpio, name, 0644, path, err) < 0)
			return -1;
	}
	return add_load_list(cpio, modules, err);
}

/* A name of ours beside `path`, gone again unless it was renamed to `path`. */
struct temporary {
	char *name;
};

static void remove_temporary(struct temporary *temporary)
{
	if (temporary->name)
		unlink(temporary->name);
	free(temporary->name);
}

#define cleanup_temporary __attribute__((cleanup(remove_temporary)))

static FILE *open_temporary(struct temporary *temporary, const char *path,
			    struct err *err)
{
	cleanup_free char *name = NULL;
	cleanup_fd int fd = -1;
	FILE *out;

	if (asprintf(&name, "%s.XXXXXX", path) < 0)
		name = NULL;
	else
		fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0) {
		err_set(err, errno, "cannot create %s", path);
		return NULL;
	}
	temporary->name = steal_pointer(&name);
	out = fdopen(fd, "w");
	if (!out) {
		err_set(err, errno, "cannot create %s", path);
		return NULL;
	}
	steal_fd(&fd);
	return out;
}

/* Make the name itself survive a crash of the machine. */
static int sync_directory(const char *path, struct err *err)
{
	cleanup_free char *copy = strdup(path);
	cleanup_fd int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd < 0 || fsync(fd) < 0)
		return err_set(err, errno, "cannot write %s to disk", path);
	return 0;
}

static int write_out(const struct image *image, FILE *out)
{
	if (fwrite(image->bytes, 1, image->size, out) != image->size || fflush(out))
		return -1;
	return fchmod(fileno(out), 0644) < 0 ? -1 : fsync(fileno(out));
}

int image_write(const struct image *image, const char *path, struct err *err)
{
	cleanup_temporary struct temporary temporary = { 0 };
	cleanup_file FILE *out = open_temporary(&temporary, path, err);

	if (!out)
		return -1;
	if (write_out(image, out) < 0 || rename(temporary.name, path) < 0)
		return err_set(err, errno, "cannot write %s", path);
	free(steal_pointer(&temporary.name));
	return sync_directory(path, err);
}

bool image_is_at(const struct image *image, const char *path)
{
	size_t size;
	cleanup_free char *bytes = read_whole(path, &size, NULL);

	return bytes && size == image->size && !memcmp(bytes, image->bytes, size);
}

int image_make(struct image *image, const char *kit, const struct modules *modules,
	       struct err *err)
{
	cleanup_cpio struct cpio cpio = { 0 };

	*image = (struct image){ 0 };
	if (add_kit(&cpio, kit, err) < 0 || add_skeleton(&cpio, err) < 0 ||
	    add_modules(&cpio, modules, err) < 0)
		return -1;
	return cpio_pack(&cpio, &image->bytes, &image->size, err);
}

void image_free(struct image *image)
{
	free(image->bytes);
	*image = (struct image){ 0 };
}
