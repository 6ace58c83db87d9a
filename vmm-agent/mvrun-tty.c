/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun.h"

#include <sys/ioctl.h>
#include <unistd.h>

static struct {
	int fd;
	struct termios saved;
	volatile sig_atomic_t raw;
} tty = { .fd = -1 };

void tty_init(int fd, const struct termios *settings)
{
	tty.fd = fd;
	tty.saved = *settings;
}

bool tty_foreground(void)
{
	return tty.fd >= 0 && tcgetpgrp(tty.fd) == getpgrp();
}

bool tty_raw(void)
{
	struct termios raw = tty.saved;

	if (!tty_foreground())
		return false;
	if (tty.raw)
		return true;
	cfmakeraw(&raw);
	/* A program's output is processed by the guest's terminal. */
	if (tcsetattr(tty.fd, TCSADRAIN, &raw))
		return false;
	tty.raw = 1;
	return true;
}

void tty_restore(void)
{
	if (!tty.raw)
		return;
	/* SIGTTOU is blocked: this works from the background as well. */
	tcsetattr(tty.fd, TCSADRAIN, &tty.saved);
	tty.raw = 0;
}

bool tty_is_raw(void)
{
	return tty.raw;
}

bool tty_size(struct winsize_order *size)
{
	struct winsize ws;

	if (tty.fd < 0 || ioctl(tty.fd, TIOCGWINSZ, &ws))
		return false;
	*size = (struct winsize_order){ ws.ws_row, ws.ws_col, ws.ws_xpixel,
					ws.ws_ypixel };
	return true;
}
