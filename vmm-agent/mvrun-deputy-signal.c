/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm-agent/mvrun-deputy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * Signals that a fault of our own makes as well. A fault cannot wait in a
 * signalfd, so these are caught: one that somebody sent goes into a pipe, and from
 * there to the job; a real one restores the terminal and kills.
 */
static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
static int fault_pipe[2] = { -1, -1 };

static void die_of(int sig)
{
	tty_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void caught(int sig, siginfo_t *info, void *context)
{
	unsigned char byte = (unsigned char)sig;

	(void)context;
	if (info->si_code > 0 || info->si_pid == getpid() ||
	    write(fault_pipe[1], &byte, 1) != 1)
		die_of(sig);
}

static int catch_faults(struct err *err)
{
	struct sigaction action = { .sa_sigaction = caught,
				    .sa_flags = SA_SIGINFO | SA_RESTART };

	if (pipe2(fault_pipe, O_CLOEXEC | O_NONBLOCK))
		return err_set(err, errno, "cannot watch for signals");
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigaction(faults[i], &action, NULL);
	signal(SIGABRT, die_of); /* abort(3) unblocks it */
	return 0;
}

/* SIGPIPE and SIGXFSZ of our own writes stay blocked: the call's errno tells. */
int deputy_signals_open(int *sent_faults, struct err *err)
{
	sigset_t set;
	int fd;

	if (catch_faults(err))
		return -1;
	*sent_faults = fault_pipe[0];
	sigfillset(&set);
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&set, faults[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(err, errno, "cannot watch for signals");
	return fd;
}

/* Die or stop by a signal as if it had never been caught. */
static void default_action(int sig)
{
	struct sigaction plain = { .sa_handler = SIG_DFL }, old;
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	sigaction(sig, &plain, &old);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	sigprocmask(SIG_BLOCK, &one, NULL);
	sigaction(sig, &old, NULL);
}

void deputy_take_terminal(struct deputy *d)
{
	if (!d->tty_open || !d->tty_wanted || tty_is_raw())
		return;
	if (tty_raw()) {
		d->tty.drop_cr = false;
		deputy_send_winsize(d);
		return;
	}
	/* Reading from the background stops a program; so it does here. */
	if (!tty_foreground())
		deputy_stop_self(d, SIGTTIN);
}

void deputy_stop_self(struct deputy *d, int sig)
{
	sigset_t pending;

	tty_restore();
	d->tty.drop_cr = true;
	deputy_agent_tell(d, "stopping");
	default_action(sig);
	/* Here we have been continued; SIGCONT itself waits in the signalfd. If
	 * there is none, the kernel would not stop us: our group is orphaned,
	 * nobody could continue it, and the job goes on as it would at home. */
	deputy_agent_tell(d, "running");
	sigpending(&pending);
	if (!sigismember(&pending, SIGCONT))
		deputy_send_signal(d, SIGCONT, SIGNAL_GROUP);
}

void deputy_signal_pipeline(int sig)
{
	/* Our own copy comes back through the signalfd with our PID on it. */
	if (sig == SIGINT || sig == SIGQUIT || sig == SIGTSTP)
		kill(0, sig);
}

static void continued(struct deputy *d)
{
	deputy_agent_tell(d, "running");
	deputy_send_clock(d);
	deputy_send_signal(d, SIGCONT, SIGNAL_GROUP);
	if (tty_foreground())
		deputy_take_terminal(d);
	deputy_send_winsize(d);
}

/* What the kernel tells mvrun itself, and is no message to the job. */
static bool is_our_own(const struct signalfd_siginfo *info)
{
	int sig = (int)info->ssi_signo;

	if (info->ssi_code == SI_USER)
		return info->ssi_pid == (uint32_t)getpid();
	return sig == SIGCHLD || sig == SIGTTOU || sig == SIGTTIN;
}

static enum signal_target target_of(const struct deputy *d,
				    const struct signalfd_siginfo *info)
{
	/* From the kernel: a terminal's, which goes to its foreground. */
	if (info->ssi_code != SI_KERNEL)
		return SIGNAL_PROCESS;
	return d->tty_open ? SIGNAL_FOREGROUND : SIGNAL_GROUP;
}

static bool ends_a_program(int sig)
{
	return sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

/*
 * The job cannot be reached: a signal waits in the link until it can. The second
 * time somebody who wants to be rid of the job means mvrun itself.
 */
static bool gives_up(struct deputy *d, int sig)
{
	if (link_state(d->link) == LINK_UP || !ends_a_program(sig))
		return false;
	if (d->given_up) {
		deputy_finish(d, -sig);
		return true;
	}
	d->given_up = true;
	say("the job cannot be reached now; the signal waits for it (once more ends mvrun, and the job with it)");
	return false;
}

static void take_signal(struct deputy *d, const struct signalfd_siginfo *info)
{
	int sig = (int)info->ssi_signo;

	if (is_our_own(info))
		return;
	if (sig == SIGCONT)
		continued(d);
	else if (sig == SIGWINCH && d->tty_open && info->ssi_code == SI_KERNEL)
		deputy_send_winsize(d); /* the guest's terminal tells the job */
	else if (d->state == DEPUTY_WAITS)
		default_action(sig); /* there is no job yet */
	else if (!gives_up(d, sig))
		deputy_send_signal(d, sig, target_of(d, info));
}

void deputy_signals_read(struct deputy *d)
{
	struct signalfd_siginfo info;

	unsigned char byte;

	while (read(d->signal_fd, &info, sizeof(info)) == sizeof(info))
		take_signal(d, &info);
	while (read(d->fault_fd, &byte, 1) == 1) {
		if (d->state == DEPUTY_WAITS)
			die_of(byte);
		deputy_send_signal(d, byte, SIGNAL_PROCESS);
	}
}
