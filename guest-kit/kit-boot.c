/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/kit.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MODULE_DIR "/modules/"
/* linux/module.h, not in every libc's kernel headers */
#define INIT_COMPRESSED_FILE 4

__attribute__((format(printf, 1, 0)))
static void console_write(const char *fmt, va_list ap)
{
	char line[512];
	cleanup_fd int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	int len;

	if (fd < 0)
		return;
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	len = (int)strlen(line);
	line[len++] = '\n';
	if (write(fd, line, (size_t)len) < 0)
		return; /* nowhere left to say so */
}

void kit_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	console_write(fmt, ap);
	va_end(ap);
}

void kit_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	console_write(fmt, ap);
	va_end(ap);
	sync();
	/* The machine has no other way out that every hypervisor reports. */
	reboot(RB_AUTOBOOT);
	_exit(1);
}

int64_t now_ms(void)
{
	struct timespec ts;

	/* BOOTTIME: a guest that was suspended has slept, and should notice. */
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void mount_or_die(const char *what, const char *where, unsigned long flags,
			 const char *data)
{
	mkdir(where, 0755);
	if (mount(what, where, what, flags, data) && errno != EBUSY)
		kit_die("monovisor-kit: cannot mount %s on %s: %s", what, where,
			strerror(errno));
}

static void load_module(const char *name)
{
	char path[320];
	const char *ext = strrchr(name, '.');
	int flags = ext && strcmp(ext, ".ko") ? INIT_COMPRESSED_FILE : 0;

	snprintf(path, sizeof(path), MODULE_DIR "%s", name);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || (syscall(SYS_finit_module, fd, "", flags) &&
		       errno != EEXIST && errno != ENODEV))
		kit_say("monovisor-kit: cannot load module %s: %s", name,
			strerror(errno));
}

static void load_modules(void)
{
	char line[256];
	FILE *list = fopen(MODULE_DIR "load", "re");

	if (!list)
		return; /* everything is built in */
	while (fgets(line, sizeof(line), list)) {
		line[strcspn(line, "\n")] = 0;
		if (*line)
			load_module(line);
	}
	fclose(list);
}

static void loopback_up(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		kit_say("monovisor-kit: cannot bring up lo: %s", strerror(errno));
}

static void sysctl(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		kit_say("monovisor-kit: cannot set %s: %s", name, strerror(errno));
}

void boot_system(void)
{
	mount_or_die("devtmpfs", "/dev", 0, "mode=0755");
	mount_or_die("proc", "/proc", 0, NULL);
	mount_or_die("sysfs", "/sys", 0, NULL);
	load_modules();
	mount_or_die("devpts", "/dev/pts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	loopback_up();
	sysctl("kernel/pid_max", "4194304"); /* home's PIDs must fit */
	sysctl("fs/nr_open", "1073741816");  /* and its descriptor limits */
}

static int parse_id(const char *text, uint8_t *id)
{
	unsigned digits = 0;

	memset(id, 0, LINK_ID_SIZE);
	for (; *text && *text != ' ' && *text != '\n'; text++) {
		unsigned value;

		if (*text == '-')
			continue;
		if (*text >= '0' && *text <= '9')
			value = (unsigned)(*text - '0');
		else if ((*text | 32) >= 'a' && (*text | 32) <= 'f')
			value = (unsigned)((*text | 32) - 'a' + 10);
		else
			return -1;
		if (digits >= 2 * LINK_ID_SIZE)
			return -1;
		id[digits / 2] |= (uint8_t)(value << (digits % 2 ? 0 : 4));
		digits++;
	}
	return digits == 2 * LINK_ID_SIZE ? 0 : -1;
}

/* "serial", "serial:NAME", "vsock:PORT" */
static int parse_transport(const char *text, struct boot_options *options)
{
	char word[96];
	size_t len = strcspn(text, " \n");

	if (len >= sizeof(word))
		return -1;
	memcpy(word, text, len);
	word[len] = 0;
	if (!strncmp(word, "vsock:", 6)) {
		options->transport = transport_get(TRANSPORT_VSOCK);
		snprintf(options->address, sizeof(options->address), "2:%s",
			 word + 6);
		return 0;
	}
	if (strncmp(word, "serial", 6) || (word[6] && word[6] != ':'))
		return -1;
	options->transport = transport_get(TRANSPORT_SERIAL);
	if (word[6])
		snprintf(options->address, sizeof(options->address), "%s",
			 word + 7);
	return 0;
}

static const char *find_word(const char *cmdline, const char *key)
{
	const char *at = cmdline;

	while ((at = strstr(at, key))) {
		if (at == cmdline || at[-1] == ' ')
			return at + strlen(key);
		at++;
	}
	return NULL;
}

int boot_parse(const char *cmdline, struct boot_options *options,
	       struct err *err)
{
	const char *id = find_word(cmdline, "mv.id=");
	const char *transport = find_word(cmdline, "mv.transport=");

	*options = (struct boot_options){
		.transport = transport_get(TRANSPORT_SERIAL),
		.address = "org.monovisor.link.0",
	};
	if (!id || parse_id(id, options->id))
		return err_set(err, 0, "no valid mv.id= on the kernel command line");
	if (transport && parse_transport(transport, options))
		return err_set(err, 0, "bad mv.transport= on the kernel command line");
	return 0;
}

void boot_options(struct boot_options *options)
{
	char cmdline[4096];
	struct err err;
	cleanup_fd int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, cmdline, sizeof(cmdline) - 1);

	if (len < 0)
		kit_die("monovisor-kit: cannot read /proc/cmdline: %s",
			strerror(errno));
	cmdline[len] = 0;
	if (boot_parse(cmdline, options, &err))
		kit_die("monovisor-kit: %s", err.text);
}
