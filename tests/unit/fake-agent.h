/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of an agent without a network and a libvirt: alpha is itself, with its peers
 * beta and gamma, and no stream is ever used. What an agent asks of others, and how that
 * ends, each test has its own: peers_in_cluster(), peer_ask(), peer_answer(),
 * peer_refuse(), peer_refuse_with(), peer_open().
 */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include "vmm-agent/mvd-libvirt.h"

#define FAKE_MEMBERS 3
extern const char *const fake_members[FAKE_MEMBERS];

/* Which do nothing. */
extern const struct virt_handlers fake_virt_handlers;

#endif
