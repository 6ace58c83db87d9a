/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest-kit/kit.h"

#include "net/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK 32768

/* ---- from the job to home ---------------------------------------------- */

short stream_out_events(const struct stream_out *s, const struct link *link)
{
	return s->fd >= 0 && link_room(link, s->channel) ? POLLIN : 0;
}

void stream_out_end(struct stream_out *s, struct link *link)
{
	if (s->fd < 0)
		return;
	close(s->fd);
	s->fd = -1;
	link_send_fin(link, s->channel);
}

void stream_out_run(struct stream_out *s, struct link *link)
{
	uint8_t bytes[CHUNK];

	while (s->fd >= 0) {
		size_t room = link_room(link, s->channel);
		ssize_t n;

		if (!room)
			return;
		n = read(s->fd, bytes, room < CHUNK ? room : CHUNK);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) { /* EIO: the terminal's last user is gone */
			stream_out_end(s, link);
			return;
		}
		if (link_send(link, s->channel, bytes, (size_t)n))
			kit_die("monovisor-kit: out of memory for %s",
				job_channels[s->channel].name);
		if (n < CHUNK)
			return;
	}
}

/* ---- from home to the job ----------------------------------------------- */

int stream_in_open(struct stream_in *s, int fd, unsigned channel)
{
	*s = (struct stream_in){ .fd = fd, .rest = -1, .channel = channel };
	s->buffer = malloc(job_channels[channel].window);
	return s->buffer ? 0 : -1;
}

/* Bytes of a pipe that nobody has read; either end tells. */
static uint64_t pipe_unread(int fd)
{
	int unread = 0;

	return fd >= 0 && !ioctl(fd, FIONREAD, &unread) ? (uint64_t)unread : 0;
}

uint64_t stream_in_taken(const struct stream_in *s)
{
	if (s->keep)
		return s->written;
	if (s->keep)
		return s->written;
	return s->written - pipe_unread(s->fd >= 0 ? s->fd : s->rest);
}

/* The job sees the end of its input once our end of the pipe is closed; that of
 * a reader, which keeps nobody waiting, can still tell what was not read. */
static void end_input(struct stream_in *s)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	s->rest = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	close(s->fd);
	s->fd = -1;
}

void stream_in_close(struct stream_in *s, struct link *link)
{
	s->written = stream_in_taken(s);
	if (s->fd >= 0 && !s->keep)
		close(s->fd);
	if (s->rest >= 0)
		close(s->rest);
	s->fd = s->rest = -1;
	link_consume(link, s->channel, s->used);
	s->used = 0;
}

void stream_in_receive(struct stream_in *s, const void *data, size_t len,
		       struct link *link)
{
	size_t window = job_channels[s->channel].window;

	/* The link enforces the window, so what is unread always fits. */
	if (s->fd < 0 || !s->buffer || s->used + len > window) {
		link_consume(link, s->channel, len);
		return;
	}
	if (s->start + s->used + len > window) {
		memmove(s->buffer, s->buffer + s->start, s->used);
		s->start = 0;
	}
	memcpy(s->buffer + s->start + s->used, data, len);
	s->used += len;
}

int stream_in_run(struct stream_in *s, struct link *link)
{
	while (s->fd >= 0 && s->used) {
		ssize_t n = write(s->fd, s->buffer + s->start, s->used);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0) {
			stream_in_close(s, link);
			return -1;
		}
		link_consume(link, s->channel, (size_t)n);
		s->written += (uint64_t)n;
		s->start += (size_t)n;
		s->used -= (size_t)n;
		if (!s->used)
			s->start = 0;
	}
	if (s->fin && s->fd >= 0 && !s->used && !s->keep)
		end_input(s);
	return 0;
}

/* ---- the terminal --------------------------------------------------------- */

/* N of "/dev/pts/N", -1 when the name is another or the number unreasonable. */
static int wanted_number(const char *path)
{
	int number, end = 0;

	if (sscanf(path, "/dev/pts/%d%n", &number, &end) != 1 || path[end] ||
	    number < 0 || number > 1000)
		return -1;
	return number;
}

static int open_master(int *number, struct err *err)
{
	int unlock = 0;
	cleanup_fd int fd = open("/dev/pts/ptmx",
				 O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) ||
	    ioctl(fd, TIOCGPTN, number))
		return err_set(err, errno, "cannot open a terminal");
	return steal_fd(&fd);
}

/* Numbers are given lowest first: take and hold masters until ours comes. */
static int open_master_numbered(int wanted, int *number, struct err *err)
{
	int held[1001], nheld = 0, fd;

	while ((fd = open_master(number, err)) >= 0 && *number < wanted &&
	       nheld < 1001)
		held[nheld++] = fd;
	while (nheld)
		close(held[--nheld]);
	return fd;
}

int tty_open(const struct control_start *start, int *slave, int *number,
	     struct err *err)
{
	char path[32];
	int master = open_master_numbered(wanted_number(start->tty_path),
					  number, err);

	if (master < 0)
		return -1;
	snprintf(path, sizeof(path), "/dev/pts/%d", *number);
	*slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0 || fchown(*slave, start->uid, 5)) {
		err_set(err, errno, "cannot open %s", path);
		close(master);
		return -1;
	}
	if (start->termios_size == sizeof(struct termios)) {
		struct termios settings;

		memcpy(&settings, start->termios, sizeof(settings));
		tcsetattr(*slave, TCSANOW, &settings);
	}
	tty_set_size(master, &start->winsize);
	return master;
}

void tty_set_size(int master, const struct winsize_order *size)
{
	struct winsize ws = {
		.ws_row = size->rows,
		.ws_col = size->columns,
		.ws_xpixel = size->x_pixels,
		.ws_ypixel = size->y_pixels,
	};

	if (master >= 0)
		ioctl(master, TIOCSWINSZ, &ws);
}

int tty_signal_of(int master, const uint8_t *bytes, size_t len)
{
	static const struct {
		int character, signal;
	} table[] = {
		{ VINTR, SIGINT }, { VQUIT, SIGQUIT }, { VSUSP, SIGTSTP },
	};
	struct termios settings;

	/* On a master these are the slave's settings. */
	if (tcgetattr(master, &settings) || !(settings.c_lflag & ISIG))
		return 0;
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		cc_t c = settings.c_cc[table[i].character];

		if (c != _POSIX_VDISABLE && memchr(bytes, c, len))
			return table[i].signal;
	}
	return 0;
}
