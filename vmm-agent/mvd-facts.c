/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The facts about a job as a metadata element, there and back. One table says
 * what the element holds.
 */
#include "vmm-agent/mvd-domain.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stddef.h>
#include <string.h>

#define MAX_METADATA (64 * 1024)
#define MAX_FACT 8192

static const char *const accel_names[] = {
	[ACCEL_AUTO] = "auto",
	[ACCEL_KVM] = "kvm",
	[ACCEL_TCG] = "tcg",
};
G_STATIC_ASSERT(G_N_ELEMENTS(accel_names) == ACCEL_COUNT);

static const char *const transport_names[] = {
	[JOB_SERIAL] = "virtio-serial",
	[JOB_VSOCK] = "vsock",
};
G_STATIC_ASSERT(G_N_ELEMENTS(transport_names) == JOB_TRANSPORT_COUNT);

G_STATIC_ASSERT(sizeof(pid_t) == sizeof(gint32));
G_STATIC_ASSERT(sizeof(uid_t) == sizeof(guint32));
G_STATIC_ASSERT(sizeof(enum accel) == sizeof(guint32));

enum fact_type {
	FACT_UUID,
	FACT_TEXT,
	FACT_U32,
	FACT_U64,
	FACT_BOOL,
	FACT_NAME, /* an enum, by its table of names */
};

static const struct fact {
	const char *name;
	enum fact_type type;
	size_t offset;
	guint64 min, max;
	const char *const *names;
	bool optional; /* an older agent's domain has none: it stays zero */
} facts_table[] = {
#define FACT(name, type, member, ...) \
	{ name, type, offsetof(struct job_facts, member), __VA_ARGS__ }
	FACT("uuid", FACT_UUID, uuid, 0, 0, NULL),
	FACT("agent", FACT_TEXT, agent, 0, 0, NULL),
	FACT("name", FACT_TEXT, name, 0, 0, NULL),
	FACT("user", FACT_TEXT, user, 0, 0, NULL),
	FACT("command", FACT_TEXT, command, 0, 0, NULL),
	FACT("home", FACT_TEXT, home, 0, 0, NULL),
	FACT("from", FACT_TEXT, from, 0, 0, NULL, true),
	FACT("pid", FACT_U32, pid, 1, G_MAXINT32, NULL),
	FACT("start", FACT_U64, start, 0, G_MAXUINT64, NULL),
	FACT("uid", FACT_U32, uid, 0, G_MAXUINT32 - 1, NULL),
	FACT("since", FACT_U64, since, 0, G_MAXINT64, NULL),
	FACT("moves", FACT_U32, moves, 0, G_MAXUINT32, NULL),
	FACT("memory", FACT_U32, memory, 1, G_MAXUINT32, NULL),
	FACT("cpus", FACT_U32, cpus, 1, 4096, NULL),
	FACT("boots", FACT_U32, boots, 0, G_MAXUINT32, NULL),
	FACT("incarnation", FACT_U32, incarnation, 0, G_MAXINT32, NULL, true),
	FACT("attempt", FACT_U32, attempt, 0, G_MAXINT32, NULL, true),
	FACT("home-patience", FACT_U32, home_patience, 0, G_MAXUINT32, NULL, true),
	FACT("pin", FACT_BOOL, pin, 0, 1, NULL),
	FACT("stay-home", FACT_BOOL, stay_home, 0, 1, NULL),
	FACT("probe", FACT_BOOL, probe, 0, 1, NULL),
	FACT("frozen", FACT_BOOL, frozen, 0, 1, NULL),
	FACT("started", FACT_BOOL, started, 0, 1, NULL),
	FACT("accel", FACT_NAME, accel, ACCEL_KVM, ACCEL_COUNT, accel_names),
	FACT("transport", FACT_NAME, transport, 0, JOB_TRANSPORT_COUNT,
	     transport_names),
	FACT("group", FACT_TEXT, group, 0, 0, NULL, true),
	FACT("only", FACT_TEXT, only, 0, 0, NULL, true),
	FACT("never", FACT_TEXT, never, 0, 0, NULL, true),
	FACT("near", FACT_TEXT, near, 0, 0, NULL, true),
	FACT("kind", FACT_U32, kind, 0, JOB_KINDS - 1, NULL, true),
	FACT("age-ms", FACT_U64, age_ms, 0, G_MAXINT64, NULL, true),
	FACT("vsock-port", FACT_U32, vsock_port, 0, G_MAXUINT32, NULL),
#undef FACT
};

const char *accel_name(enum accel accel)
{
	return accel_names[accel];
}

bool accel_find(const char *name, enum accel *accel)
{
	unsigned i;

	for (i = 0; i < ACCEL_COUNT; i++)
		if (strcmp(accel_names[i], name) == 0) {
			*accel = i;
			return true;
		}
	return false;
}

const char *job_transport_name(enum job_transport transport)
{
	return transport_names[transport];
}

char *clean_text(const char *text)
{
	char *clean = g_utf8_make_valid(text, -1), *at;
	GString *out = g_string_new(NULL);

	for (at = clean; *at; at = g_utf8_next_char(at)) {
		gunichar c = g_utf8_get_char(at);

		/* XML cannot hold the last two code points of the base plane. */
		if (g_unichar_iscntrl(c) || c == 0xfffe || c == 0xffff)
			g_string_append_c(out, '?');
		else
			g_string_append_unichar(out, c);
	}
	g_free(clean);
	return g_string_free(out, FALSE);
}

void job_facts_clear(struct job_facts *facts)
{
	g_free(facts->agent);
	g_free(facts->name);
	g_free(facts->user);
	g_free(facts->command);
	g_free(facts->home);
	g_free(facts->from);
	g_free(facts->group);
	g_free(facts->only);
	g_free(facts->never);
	g_free(facts->near);
	memset(facts, 0, sizeof(*facts));
}

static char *fact_to_text(const struct fact *fact, const void *value)
{
	switch (fact->type) {
	case FACT_UUID:
		return g_strdup(value);
	case FACT_TEXT:
		return clean_text(*(char *const *)value ?
				  *(char *const *)value : "");
	case FACT_U32:
		return g_strdup_printf("%" G_GUINT32_FORMAT,
				       *(const guint32 *)value);
	case FACT_U64:
		return g_strdup_printf("%" G_GUINT64_FORMAT,
				       *(const guint64 *)value);
	case FACT_BOOL:
		return g_strdup(*(const bool *)value ? "yes" : "no");
	default:
		return g_strdup(fact->names[*(const guint32 *)value]);
	}
}

static bool name_from_text(const struct fact *fact, guint32 *value,
			   const char *text)
{
	guint64 i;

	for (i = fact->min; i < fact->max; i++)
		if (strcmp(fact->names[i], text) == 0) {
			*value = (guint32)i;
			return true;
		}
	return false;
}

static bool fact_from_text(const struct fact *fact, void *value,
			   const char *text)
{
	guint64 number;

	switch (fact->type) {
	case FACT_UUID:
		return uuid_normalize(value, text);
	case FACT_TEXT:
		g_free(*(char **)value);
		*(char **)value = clean_text(text);
		return strlen(text) <= MAX_FACT;
	case FACT_BOOL:
		*(bool *)value = strcmp(text, "yes") == 0;
		return true;
	case FACT_NAME:
		return name_from_text(fact, value, text);
	default:
		if (!g_ascii_string_to_unsigned(text, 10, fact->min, fact->max,
						&number, NULL))
			return false;
		if (fact->type == FACT_U32)
			*(guint32 *)value = (guint32)number;
		else
			*(guint64 *)value = number;
		return true;
	}
}

char *job_facts_to_xml(const struct job_facts *facts)
{
	xmlDoc *doc = xmlNewDoc(BAD_CAST "1.0");
	xmlNode *root = xmlNewDocNode(doc, NULL, BAD_CAST "job", NULL);
	xmlBuffer *buffer = xmlBufferCreate();
	char *text;
	size_t i;

	xmlDocSetRootElement(doc, root);
	for (i = 0; i < G_N_ELEMENTS(facts_table); i++) {
		const struct fact *fact = &facts_table[i];
		g_autofree char *value = fact_to_text(fact,
			(const char *)facts + fact->offset);

		xmlNewTextChild(root, NULL, BAD_CAST fact->name,
				BAD_CAST value);
	}
	xmlNodeDump(buffer, doc, root, 0, 0);
	text = g_strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	xmlFreeDoc(doc);
	return text;
}

static bool read_fact(struct job_facts *facts, const struct fact *fact,
		      xmlNode *root)
{
	xmlNode *node;
	xmlChar *text;
	bool ok;

	for (node = root->children; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE &&
		    strcmp((const char *)node->name, fact->name) == 0)
			break;
	if (!node)
		return fact->optional;
	text = xmlNodeGetContent(node);
	ok = text && fact_from_text(fact, (char *)facts + fact->offset,
				    (const char *)text);
	xmlFree(text);
	return ok;
}

int job_facts_from_xml(struct job_facts *facts, const char *xml,
		       struct err *err)
{
	size_t len = strlen(xml), i;
	xmlDoc *doc = NULL;
	xmlNode *root;
	int rc = 0;

	memset(facts, 0, sizeof(*facts));
	if (len <= MAX_METADATA)
		doc = xmlReadMemory(xml, (int)len, NULL, "UTF-8", XML_PARSE_NONET |
				    XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!doc)
		return err_set(err, 0, "the domain's metadata are no XML");
	root = xmlDocGetRootElement(doc);
	for (i = 0; rc == 0 && i < G_N_ELEMENTS(facts_table); i++)
		if (!read_fact(facts, &facts_table[i], root))
			rc = err_set(err, 0, "the fact \"%s\" in the domain's "
				     "metadata is missing or wrong",
				     facts_table[i].name);
	xmlFreeDoc(doc);
	if (rc < 0)
		job_facts_clear(facts);
	return rc;
}
