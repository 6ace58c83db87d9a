/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/mvkit-cpio.h"
#include "guest-kit/mvkit-image.h"
#include "guest-kit/mvkit-kernel.h"
#include "net/cleanup.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <cmocka.h>

static char top[] = "/tmp/test-mvkit.XXXXXX";

static const char *in_top(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", top, name);
	return path;
}

static void put_file(const char *name, const void *data, size_t size)
{
	FILE *file = fopen(in_top(name), "w");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void put_directory(const char *name)
{
	assert_int_equal(mkdir(in_top(name), 0755), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int make_top(void **state)
{
	(void)state;
	strcpy(top + strlen(top) - 6, "XXXXXX");
	return mkdtemp(top) ? 0 : -1;
}

static int remove_top(void **state)
{
	(void)state;
	return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- cpio ---- */

static char *pack(struct cpio *cpio, size_t *size)
{
	struct err err = { 0 };
	char *bytes = NULL;

	assert_int_equal(cpio_pack(cpio, &bytes, size, &err), 0);
	return bytes;
}

static void cpio_has_the_bytes_of_the_format(void **state)
{
	static const char expected[] =
		/* ino, mode, uid, gid, nlink, mtime, size, dev, rdev, name size, check */
		"070701" "00000001" "00008124" "00000000" "00000000" "00000001" "00000000"
		"00000003" "00000000" "00000000" "00000005" "00000001" "00000005" "00000000"
		"abcd\0" "\0" "xyz\0"
		"070701" "00000000" "00000000" "00000000" "00000000" "00000001" "00000000"
		"00000000" "00000000" "00000000" "00000000" "00000000" "0000000B" "00000000"
		"TRAILER!!!\0" "\0\0\0";
	struct cpio cpio = { 0 };
	cleanup_free char *bytes = NULL;
	size_t size;

	(void)state;
	assert_int_equal(cpio_add(&cpio, "abcd", S_IFREG | 0444, strdup("xyz"), 3, NULL), 0);
	cpio.entries[0].rdev = makedev(5, 1);
	bytes = pack(&cpio, &size);
	assert_int_equal(size % 512, 0);
	assert_memory_equal(bytes, expected, sizeof(expected) - 1);
	for (size_t i = sizeof(expected) - 1; i < size; i++)
		assert_int_equal(bytes[i], 0);
	cpio_free(&cpio);
}

static void cpio_order_of_adding_makes_no_difference(void **state)
{
	static const char *const names[] = { "a", "a/b", "modules", "modules/x.ko", "z" };
	struct cpio up = { 0 }, down = { 0 };
	cleanup_free char *one = NULL, *two = NULL;
	size_t one_size, two_size;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		cpio_add_directory(&up, names[i], NULL);
		cpio_add_directory(&down, names[4 - i], NULL);
	}
	one = pack(&up, &one_size);
	two = pack(&down, &two_size);
	assert_int_equal(one_size, two_size);
	assert_memory_equal(one, two, one_size);
	cpio_free(&up);
	cpio_free(&down);
}

static unsigned field(const char *header, unsigned index)
{
	char text[9] = { 0 };

	memcpy(text, header + 6 + 8 * index, 8);
	return (unsigned)strtoul(text, NULL, 16);
}

/* Walk the archive as the kernel's init/initramfs.c does. */
static unsigned count_entries(const char *bytes, size_t size)
{
	unsigned count = 0;

	for (size_t at = 0; at + 110 <= size; count++) {
		const char *header = bytes + at;

		assert_memory_equal(header, "070701", 6);
		at += (110 + field(header, 11) + 3) & ~3u;
		if (!strcmp(header + 110, "TRAILER!!!"))
			return count;
		at += (field(header, 6) + 3) & ~3u;
	}
	fail_msg("no trailer");
	return 0;
}

static void cpio_every_length_is_padded_right(void **state)
{
	struct cpio cpio = { 0 };
	cleanup_free char *bytes = NULL;
	char name[32] = "";
	size_t size;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		strcat(name, "n");
		assert_int_equal(cpio_add(&cpio, name, S_IFREG | 0644,
					  i ? calloc(1, i) : NULL, i, NULL), 0);
	}
	bytes = pack(&cpio, &size);
	assert_int_equal(count_entries(bytes, size), 20);
	cpio_free(&cpio);
}

static void cpio_refuses_a_name_twice(void **state)
{
	struct cpio cpio = { 0 };
	struct err err = { 0 };
	char *bytes;
	size_t size;

	(void)state;
	cpio_add_directory(&cpio, "dev", NULL);
	cpio_add_directory(&cpio, "home", NULL);
	cpio_add_directory(&cpio, "dev", NULL);
	assert_int_equal(cpio_pack(&cpio, &bytes, &size, &err), -1);
	assert_non_null(strstr(err.text, "dev"));
	cpio_free(&cpio);
}

/* ---- kernels ---- */

#define VERSION_AT 0x400

/* A boot sector that names `release`, as the boot protocol lays it out. */
static size_t make_kernel(uint8_t *image, const char *release)
{
	memset(image, 0, VERSION_AT);
	image[0x1fe] = 0x55;
	image[0x1ff] = 0xaa;
	memcpy(image + 0x202, "HdrS", 4);
	image[0x20e] = (VERSION_AT - 0x200) & 0xff;
	image[0x20f] = (VERSION_AT - 0x200) >> 8;
	strcpy((char *)image + VERSION_AT, release);
	return VERSION_AT + strlen(release) + 1;
}

static void put_kernel(const char *name, const char *release)
{
	uint8_t image[VERSION_AT + 512];

	put_file(name, image, make_kernel(image, release));
}

static char *release_of(const uint8_t *image, size_t size)
{
	struct err err = { 0 };
	char *release;

	put_file("k", image, size);
	release = kernel_release(in_top("k"), &err);
	if (!release)
		assert_non_null(strstr(err.text, in_top("k")));
	return release;
}

static void kernel_release_is_the_headers(void **state)
{
	uint8_t image[VERSION_AT + 512];
	size_t size = make_kernel(image, "6.1.0-9-cloud-amd64 (who@where) #1 SMP");
	cleanup_free char *release = release_of(image, size);

	(void)state;
	assert_string_equal(release, "6.1.0-9-cloud-amd64");
}

static void kernel_cut_short_anywhere_has_no_release(void **state)
{
	uint8_t image[VERSION_AT + 512];
	size_t size = make_kernel(image, "6.1.0");

	(void)state;
	for (size_t cut = 0; cut < size; cut++)
		assert_null(release_of(image, cut));
}

static void kernel_with_a_bad_release_is_refused(void **state)
{
	static const char *const bad[] = { "", " 6.1", "../../etc", ".", "a/b", "6.1\n",
					   "6.1\x80" };
	uint8_t image[VERSION_AT + 512];
	char longest[66];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(release_of(image, make_kernel(image, bad[i])));
	memset(longest, '6', 65);
	longest[65] = 0;
	assert_null(release_of(image, make_kernel(image, longest)));
}

static void kernel_with_a_bad_pointer_is_refused(void **state)
{
	uint8_t image[VERSION_AT + 512];
	size_t size = make_kernel(image, "6.1.0");

	(void)state;
	image[0x20e] = image[0x20f] = 0xff;
	assert_null(release_of(image, size));
	image[0x20e] = image[0x20f] = 0;
	assert_null(release_of(image, size));
}

static void put_boot(const char *release, bool modules)
{
	char name[256];

	snprintf(name, sizeof(name), "boot/vmlinuz-%s", release);
	put_kernel(name, release);
	if (!modules)
		return;
	snprintf(name, sizeof(name), "modules/%s", release);
	put_directory(name);
	strcat(name, "/modules.dep.bin");
	put_file(name, "", 0);
}

static int find(const char *wanted, struct kernel *kernel, struct err *err)
{
	const struct kernel_dirs dirs = { in_top("boot"), in_top("modules") };

	return kernel_find(kernel, wanted, &dirs, err);
}

static void assert_found(const char *wanted, const char *release)
{
	struct kernel kernel = { 0 };
	struct err err = { 0 };

	if (find(wanted, &kernel, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(kernel.release, release);
	kernel_free(&kernel);
}

static void assert_not_found(const char *wanted, const char *message)
{
	struct kernel kernel = { 0 };
	struct err err = { 0 };

	assert_int_equal(find(wanted, &kernel, &err), -1);
	assert_null(kernel.path);
	if (!strstr(err.text, message))
		fail_msg("\"%s\" does not say \"%s\"", err.text, message);
}

static void default_kernel_is_the_newest_cloud_kernel(void **state)
{
	struct utsname running;

	(void)state;
	uname(&running);
	put_directory("boot");
	put_directory("modules");
	assert_not_found(NULL, "install linux-image-cloud-amd64");
	put_boot("6.9.0-1-amd64", true);
	put_boot("6.10.0-1-amd64", true);
	assert_found(NULL, "6.10.0-1-amd64");
	if (!strstr(running.release, "-cloud-")) {
		put_boot(running.release, true);
		assert_found(NULL, running.release);
	}
	put_boot("6.1.0-9-cloud-amd64", true);
	put_boot("6.1.0-56-cloud-amd64", true);
	put_boot("6.1.0-57-cloud-amd64", false);
	put_file("boot/vmlinuz-9.9.9-cloud-amd64", "text", 4);
	assert_found(NULL, "6.1.0-56-cloud-amd64");
}

static void kernel_is_found_by_release_and_by_path(void **state)
{
	(void)state;
	put_directory("boot");
	put_directory("modules");
	put_boot("6.1.0-1-amd64", false);
	put_kernel("bzImage", "6.12.1-mine");
	assert_found("6.1.0-1-amd64", "6.1.0-1-amd64");
	assert_found(in_top("bzImage"), "6.12.1-mine");
	assert_not_found("6.1.0-2-amd64", "vmlinuz-6.1.0-2-amd64: No such file");
	assert_not_found("..", "neither a path");
	assert_not_found("", "neither a path");
	assert_not_found(in_top("none"), "No such file");
	assert_not_found(in_top("boot"), "Is a directory");
}

/* ---- image ---- */

static void put_kit(bool dynamic)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segments[2];
	} elf = {
		.head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64 },
			  .e_machine = EM_X86_64,
			  .e_phoff = sizeof(Elf64_Ehdr),
			  .e_phentsize = sizeof(Elf64_Phdr),
			  .e_phnum = 2 },
		.segments = { { .p_type = PT_LOAD },
			      { .p_type = dynamic ? PT_INTERP : PT_LOAD } },
	};

	put_file(dynamic ? "dynamic" : "kit", &elf, sizeof(elf));
}

static struct modules two_modules(char **paths)
{
	put_file("one.ko", "1", 1);
	put_file("two.ko.xz", "22", 2);
	paths[0] = strdup(in_top("two.ko.xz"));
	paths[1] = strdup(in_top("one.ko"));
	return (struct modules){ .paths = paths, .count = 2 };
}

static void image_holds_kit_modules_and_load_order(void **state)
{
	char *paths[2];
	struct modules modules = two_modules(paths);
	struct image image = { 0 };
	struct err err = { 0 };

	(void)state;
	put_kit(false);
	if (image_make(&image, in_top("kit"), &modules, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(count_entries(image.bytes, image.size), 6 + 1 + 1 + 2 + 1);
	assert_non_null(memmem(image.bytes, image.size, "two.ko.xz\none.ko\n", 17));
	assert_non_null(memmem(image.bytes, image.size, "modules/two.ko.xz", 18));
	image_free(&image);
	free(paths[0]);
	free(paths[1]);
}

static void image_refuses_a_kit_that_cannot_be_process_1(void **state)
{
	struct modules modules = { 0 };
	struct image image = { 0 };
	struct err err = { 0 };
	size_t size = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr);

	(void)state;
	put_kit(true);
	assert_int_equal(image_make(&image, in_top("dynamic"), &modules, &err), -1);
	assert_non_null(strstr(err.text, "statically linked"));
	put_kit(false);
	while (size-- > 0) {
		assert_int_equal(truncate(in_top("kit"), (off_t)size), 0);
		assert_int_equal(image_make(&image, in_top("kit"), &modules, &err), -1);
	}
	assert_int_equal(image_make(&image, in_top("none"), &modules, &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
}

static unsigned count_files(const char *name)
{
	DIR *dir = opendir(in_top(name));
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static void image_is_replaced_in_one_step(void **state)
{
	struct image one = { (char *)"first", 5 }, two = { (char *)"second", 6 };
	struct err err = { 0 };
	struct stat st;

	(void)state;
	put_directory("out");
	assert_false(image_is_at(&one, in_top("out/i")));
	assert_int_equal(image_write(&one, in_top("out/i"), &err), 0);
	assert_true(image_is_at(&one, in_top("out/i")));
	assert_false(image_is_at(&two, in_top("out/i")));
	assert_int_equal(image_write(&two, in_top("out/i"), &err), 0);
	assert_true(image_is_at(&two, in_top("out/i")));
	assert_int_equal(count_files("out"), 1);
	assert_int_equal(stat(in_top("out/i"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void image_that_cannot_be_written_leaves_nothing(void **state)
{
	struct image image = { (char *)"bytes", 5 };
	struct err err = { 0 };

	(void)state;
	put_directory("out");
	put_directory("out/i");
	assert_int_equal(image_write(&image, in_top("out/i"), &err), -1);
	assert_non_null(strstr(err.text, "out/i"));
	assert_int_equal(count_files("out"), 1);
	assert_int_equal(image_write(&image, in_top("none/i"), &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_top, remove_top)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cpio_has_the_bytes_of_the_format),
		TEST(cpio_order_of_adding_makes_no_difference),
		TEST(cpio_every_length_is_padded_right),
		TEST(cpio_refuses_a_name_twice),
		TEST(kernel_release_is_the_headers),
		TEST(kernel_cut_short_anywhere_has_no_release),
		TEST(kernel_with_a_bad_release_is_refused),
		TEST(kernel_with_a_bad_pointer_is_refused),
		TEST(default_kernel_is_the_newest_cloud_kernel),
		TEST(kernel_is_found_by_release_and_by_path),
		TEST(image_holds_kit_modules_and_load_order),
		TEST(image_refuses_a_kit_that_cannot_be_process_1),
		TEST(image_is_replaced_in_one_step),
		TEST(image_that_cannot_be_written_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
