/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvd-owner.h"

#include <errno.h>
#include <glib.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utmpx.h>

#define AHEAD_S 2 /* more than rounding explains */
#define USB_DEVICES "/sys/bus/usb/devices"

static char *path_of(const struct owner *owner, const char *path, const char *name)
{
	return g_strconcat(owner->root ? owner->root : "", path, name, NULL);
}

static char *read_text(const struct owner *owner, const char *path, const char *name)
{
	g_autofree char *full = path_of(owner, path, name);
	char *text = NULL;

	g_file_get_contents(full, &text, NULL, NULL);
	return text;
}

static GDir *open_dir(const struct owner *owner, const char *path)
{
	g_autofree char *full = path_of(owner, path, "");

	return g_dir_open(full, 0, NULL);
}

static void input_at(struct owner *owner, double when)
{
	if (!owner->seen || when > owner->input)
		owner->input = when;
	owner->seen = true;
}

/* Terminals */

/* "pts/3", "tty1", "ttyS0": the name comes from a file, and becomes part of a path. */
static bool is_terminal(const char *name)
{
	const char *at = g_str_has_prefix(name, "pts/") ? name + 4 :
			 g_str_has_prefix(name, "tty") ? name + 3 : "";

	if (!*at)
		return false;
	while (g_ascii_isalnum(*at))
		at++;
	return !*at;
}

static void look_at_terminal(struct owner *owner, const char *name, double now, time_t wall)
{
	g_autofree char *path = path_of(owner, "/dev/", name);
	struct stat st;

	if (!is_terminal(name) || stat(path, &st) < 0)
		return;
	/* Stamped before the clock was set back: it says nothing. */
	if (st.st_atime > wall + AHEAD_S)
		return;
	input_at(owner, now - fmax(0, (double)(wall - st.st_atime)));
}

static bool is_alive(pid_t pid)
{
	return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

/* An entry stays behind when nobody logs its session out, and its terminal's number is used
 * again. */
static void look_at_entry(struct owner *owner, const struct utmpx *entry, double now,
			  time_t wall)
{
	char name[sizeof(entry->ut_line) + 1] = "";

	memcpy(name, entry->ut_line, sizeof(entry->ut_line));
	if (entry->ut_type == USER_PROCESS && is_alive(entry->ut_pid))
		look_at_terminal(owner, name, now, wall);
}

static bool look_at_utmp(struct owner *owner, double now, time_t wall)
{
	g_autofree char *path = path_of(owner, "/run/utmp", ""), *bytes = NULL;
	struct utmpx entry;
	gsize len, at;

	if (!g_file_get_contents(path, &bytes, &len, NULL))
		return false;
	for (at = 0; at + sizeof(entry) <= len; at += sizeof(entry)) {
		memcpy(&entry, bytes + at, sizeof(entry));
		look_at_entry(owner, &entry, now, wall);
	}
	return true;
}

/* logind's own notes, where there is no utmp any more, as in Debian 13. Beside each there is
 * a pipe, NAME.ref. */
static bool look_at_sessions(struct owner *owner, double now, time_t wall)
{
	g_autoptr(GDir) dir = open_dir(owner, "/run/systemd/sessions");
	const char *name;

	while (dir && (name = g_dir_read_name(dir))) {
		g_autofree char *text = strchr(name, '.') ? NULL :
			read_text(owner, "/run/systemd/sessions/", name);
		char *line = text ? strstr(text, "\nTTY=") : NULL;

		if (!line)
			continue;
		line += strlen("\nTTY=");
		line[strcspn(line, "\n")] = '\0';
		look_at_terminal(owner, line, now, wall);
	}
	return dir != NULL;
}

/* Keyboards and mice */

static uint64_t sum_line(const char *at)
{
	uint64_t sum = 0, value;
	char *end;

	/* A number for each processor, then the chip's name. */
	for (;; at = end) {
		at += strspn(at, " \t");
		if (!g_ascii_isdigit(*at))
			return sum;
		value = g_ascii_strtoull(at, &end, 10);
		if (*end != ' ' && *end != '\t')
			return sum;
		sum += value;
	}
}

uint64_t owner_interrupts(const char *text, bool *found)
{
	g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; lines[i]; i++) {
		const char *colon = strchr(lines[i], ':');

		if (!colon || !strstr(colon, "i8042"))
			continue;
		*found = true;
		sum += sum_line(colon + 1);
	}
	return sum;
}

/* A keyboard or a mouse says so as an interface that firmware can use, too: class 3, protocol
 * 1 or 2. Other devices of that class, as power supplies, talk all the time. */
static bool is_for_people(const struct owner *owner, const char *interface)
{
	g_autofree char *dir = g_strconcat(USB_DEVICES "/", interface, NULL);
	g_autofree char *class = read_text(owner, dir, "/bInterfaceClass");
	g_autofree char *protocol = read_text(owner, dir, "/bInterfaceProtocol");

	return class && protocol && strtol(class, NULL, 16) == 3 &&
	       (strtol(protocol, NULL, 16) == 1 || strtol(protocol, NULL, 16) == 2);
}

/* Of the device that the interface belongs to: 1-2 of 1-2:1.0. */
static uint64_t transfers(const struct owner *owner, const char *interface)
{
	g_autofree char *device = g_strndup(interface, strcspn(interface, ":"));
	g_autofree char *dir = g_strconcat(USB_DEVICES "/", device, NULL);
	g_autofree char *text = read_text(owner, dir, "/urbnum");

	return text ? (uint32_t)strtol(text, NULL, 10) : 0;
}

static uint64_t usb_transfers(const struct owner *owner, bool *found)
{
	g_autoptr(GDir) dir = open_dir(owner, USB_DEVICES);
	const char *name;
	uint64_t sum = 0;

	while (dir && (name = g_dir_read_name(dir)))
		if (strchr(name, ':') && is_for_people(owner, name)) {
			*found = true;
			sum += transfers(owner, name);
		}
	return sum;
}

static bool look_at_devices(struct owner *owner, double now)
{
	g_autofree char *text = read_text(owner, "/proc/interrupts", "");
	bool found = false;
	uint64_t events = (text ? owner_interrupts(text, &found) : 0) +
			  usb_transfers(owner, &found);

	/* Less: a device is gone, or the number is full. */
	if (owner->counted && events > owner->events)
		input_at(owner, now);
	owner->events = events;
	owner->counted = true;
	return found;
}

void owner_look(struct owner *owner, double now, time_t wall)
{
	bool utmp, sessions, devices;

	if (owner->looked > 0 && now - owner->looked < OWNER_LOOK_S)
		return;
	owner->looked = now;
	utmp = look_at_utmp(owner, now, wall);
	sessions = look_at_sessions(owner, now, wall);
	devices = look_at_devices(owner, now);
	owner->blind = !utmp && !sessions && !devices;
}

double owner_idle(const struct owner *owner, double now)
{
	return owner->seen ? fmax(0, now - owner->input) : INFINITY;
}
