/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MV_MVD_TSC_H
#define MV_MVD_TSC_H

/*
 * The rate of this machine's time stamp counter in kHz, measured once (20 ms)
 * against CLOCK_MONOTONIC_RAW; 0 on machines without one.
 *
 * An emulated guest's counter is the host's. The guest's kernel would measure it
 * against an emulated timer that runs late on a busy host, give up ("Unable to
 * calibrate against PIT") and hang: it is told instead.
 */
unsigned tsc_khz(void);

#endif
