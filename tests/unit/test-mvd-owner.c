/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When input came last, in a machine made of files. */
#include "vmm-agent/mvd-owner.h"

#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmpx.h>

#include <cmocka.h>

#define WALL 1000000000

static char root[64];
static struct owner owner;

static void put_bytes(const char *path, const char *bytes, gssize len)
{
	g_autofree char *full = g_strconcat(root, path, NULL);
	g_autofree char *dir = g_path_get_dirname(full);

	assert_int_equal(g_mkdir_with_parents(dir, 0700), 0);
	assert_true(g_file_set_contents(full, bytes, len, NULL));
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, -1);
}

/* A terminal that was read at this time. */
static void put_terminal(const char *name, time_t when)
{
	g_autofree char *path = g_strconcat("/dev/", name, NULL);
	g_autofree char *full = g_strconcat(root, path, NULL);
	struct timespec times[2] = { { .tv_sec = when }, { .tv_sec = when } };

	put(path, "");
	assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
}

static struct utmpx entry(const char *line, short type, pid_t pid)
{
	struct utmpx entry = { .ut_type = type, .ut_pid = pid };

	memcpy(entry.ut_line, line, MIN(strlen(line), sizeof(entry.ut_line)));
	return entry;
}

static void put_utmp(const struct utmpx *entries, size_t n)
{
	put_bytes("/run/utmp", (const char *)entries, (gssize)(n * sizeof(*entries)));
}

static double idle_at(double now, time_t wall)
{
	owner_look(&owner, now, wall);
	return owner_idle(&owner, now);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(root, "/tmp/mv-owner.XXXXXX");
	owner = (struct owner){ .root = root };
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	g_autofree char *command = g_strdup_printf("rm -rf %s", root);

	(void)state;
	return system(command);
}

static void the_youngest_terminal_counts(void **state)
{
	const struct utmpx entries[] = {
		entry("tty1", USER_PROCESS, getpid()), entry("pts/3", USER_PROCESS, getpid()),
		entry("pts/4", USER_PROCESS, getpid()), entry(":0", USER_PROCESS, getpid()),
	};

	(void)state;
	put_terminal("tty1", WALL - 500);
	put_terminal("pts/3", WALL - 40);
	put_terminal("pts/7", WALL - 1); /* nobody's session: a job's, or a tool's */
	put_utmp(entries, G_N_ELEMENTS(entries));
	assert_true(idle_at(1000, WALL) == 40);
	assert_false(owner.blind);
	put_terminal("tty1", WALL + 5);
	/* It is not looked at each second, but time goes on. */
	assert_true(idle_at(1001, WALL + 1) == 41);
	assert_true(idle_at(1006, WALL + 6) == 1);
	/* A clock that was set back: what the stamps say is not believed, and nothing is lost. */
	assert_true(idle_at(1016, WALL - 9000) == 11);
}

static void a_session_that_is_over_does_not(void **state)
{
	const struct utmpx entries[] = {
		entry("pts/1", DEAD_PROCESS, getpid()), entry("pts/2", USER_PROCESS, 0),
		entry("pts/3", LOGIN_PROCESS, getpid()), entry("pts/4", USER_PROCESS, -1),
		entry("pts/5", USER_PROCESS, 0x7ffffffe),
	};
	char name[8];
	int i;

	(void)state;
	for (i = 1; i < 6; i++) {
		snprintf(name, sizeof(name), "pts/%d", i);
		put_terminal(name, WALL - 10);
	}
	put_utmp(entries, G_N_ELEMENTS(entries));
	assert_true(isinf(idle_at(1000, WALL)));
}

static void a_hostile_utmp_names_no_other_file(void **state)
{
	struct utmpx entries[] = {
		entry("../secret", USER_PROCESS, getpid()),
		entry("pts/../../secret", USER_PROCESS, getpid()),
		entry("pts/", USER_PROCESS, getpid()), entry("tty", USER_PROCESS, getpid()),
		entry("", USER_PROCESS, getpid()),
		/* No end, as the format allows. */
		entry("pts/1111111111111111111111111111111111", USER_PROCESS, getpid()),
	};

	(void)state;
	put_terminal("pts/1", WALL - 10);
	put_terminal("../secret", WALL - 10);
	put_utmp(entries, G_N_ELEMENTS(entries));
	assert_true(isinf(idle_at(1000, WALL)));
	/* Half an entry at the end. */
	put_bytes("/run/utmp", (const char *)entries, sizeof(entries[0]) / 2);
	assert_true(isinf(idle_at(1010, WALL)));
}

static void logind_knows_sessions_too(void **state)
{
	(void)state;
	put_terminal("pts/0", WALL - 30);
	put("/run/systemd/sessions/3", "# private\nUID=1000\nTTY=pts/0\nCLASS=user\n");
	put("/run/systemd/sessions/4", "UID=1000\nREMOTE=1\n");
	put("/run/systemd/sessions/c1.ref", "x\nTTY=pts/0\n");
	assert_true(idle_at(1000, WALL) == 30);
	assert_false(owner.blind);
}

static void put_interrupts(unsigned keys, unsigned motions, unsigned others)
{
	char text[400];

	snprintf(text, sizeof(text), "           CPU0       CPU1\n"
		 "  1:  %9u          2  IR-IO-APIC    1-edge      i8042\n"
		 "  8:  %9u          0  IR-IO-APIC    8-edge      rtc0\n"
		 " 12:          7  %8u  IR-IO-APIC   12-edge      i8042\n"
		 "NMI:  %9u          0  Non-maskable interrupts\n", keys, others, motions, others);
	put("/proc/interrupts", text);
}

static void keys_and_mice_interrupt(void **state)
{
	bool found = false;

	(void)state;
	put_interrupts(100, 200, 1);
	/* How often it was before tells nothing. */
	assert_true(isinf(idle_at(1000, WALL)));
	assert_false(owner.blind);
	put_interrupts(100, 200, 999);
	assert_true(isinf(idle_at(1010, WALL)));
	put_interrupts(101, 200, 999);
	assert_true(idle_at(1020, WALL) == 0);
	assert_true(idle_at(1030, WALL) == 10);
	put_interrupts(101, 300, 999);
	assert_true(idle_at(1040, WALL) == 0);
	assert_int_equal(owner_interrupts(" 1: 3 4 5x i8042\n 2: 8 i8042\n 3: i8042\n4: 9 foo\n",
					  &found), 3 + 4 + 8);
	found = false;
	assert_int_equal(owner_interrupts("i8042 no colon 7\n:\n1:\n", &found), 0);
	assert_false(found);
}

static void put_usb(const char *device, const char *class, const char *protocol, const char *urbs)
{
	const char *dir = "/sys/bus/usb/devices/";
	g_autofree char *a = g_strconcat(dir, device, ":1.0/bInterfaceClass", NULL);
	g_autofree char *b = g_strconcat(dir, device, ":1.0/bInterfaceProtocol", NULL);
	g_autofree char *c = g_strconcat(dir, device, "/urbnum", NULL);

	put(a, class);
	put(b, protocol);
	put(c, urbs);
}

static void usb_keyboards_count_transfers(void **state)
{
	(void)state;
	put_usb("1-2", "03\n", "01\n", "70\n");
	put_usb("1-3", "08\n", "50\n", "9000\n"); /* a disk */
	put_usb("1-4", "03\n", "00\n", "100\n");  /* a power supply */
	assert_true(isinf(idle_at(1000, WALL)));
	assert_false(owner.blind);
	put_usb("1-3", "08\n", "50\n", "9999\n");
	put_usb("1-4", "03\n", "00\n", "999\n");
	assert_true(isinf(idle_at(1010, WALL)));
	put_usb("1-2", "03\n", "01\n", "72\n");
	assert_true(idle_at(1020, WALL) == 0);
	/* Unplugged, and another one plugged in: less is no input. */
	put_usb("1-2", "03\n", "01\n", "5\n");
	assert_true(idle_at(1030, WALL) == 10);
}

static void says_when_it_sees_nothing(void **state)
{
	(void)state;
	assert_true(isinf(idle_at(1000, WALL)));
	assert_true(owner.blind);
	put("/proc/interrupts", " 8: 1 rtc0\n");
	assert_true(isinf(idle_at(1010, WALL)));
	assert_true(owner.blind);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_youngest_terminal_counts),
		TEST(a_session_that_is_over_does_not),
		TEST(a_hostile_utmp_names_no_other_file),
		TEST(logind_knows_sessions_too),
		TEST(keys_and_mice_interrupt),
		TEST(usb_keyboards_count_transfers),
		TEST(says_when_it_sees_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
