/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XML of a running domain, changed for the place it moves to. Most of it is
 * libvirt's and stays as it is: what a guest can see may not change under it.
 */
#include "vmm-agent/mvd-domain.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <string.h>

void job_facts_copy(struct job_facts *to, const struct job_facts *from)
{
	*to = *from;
	to->agent = g_strdup(from->agent);
	to->name = g_strdup(from->name);
	to->user = g_strdup(from->user);
	to->command = g_strdup(from->command);
	to->home = g_strdup(from->home);
	to->from = g_strdup(from->from);
	to->group = g_strdup(from->group);
	to->only = g_strdup(from->only);
	to->never = g_strdup(from->never);
	to->near = g_strdup(from->near);
}

static xmlNode *find(xmlXPathContext *context, const char *path)
{
	xmlXPathObject *found = xmlXPathEvalExpression(BAD_CAST path, context);
	xmlNode *node = NULL;

	if (found && found->nodesetval && found->nodesetval->nodeNr > 0)
		node = found->nodesetval->nodeTab[0];
	xmlXPathFreeObject(found);
	return node;
}

static void set_text(xmlXPathContext *context, const char *path,
		     const char *text)
{
	xmlNode *node = find(context, path);

	if (node) {
		xmlNodeSetContent(node, NULL);
		xmlNodeAddContent(node, BAD_CAST text);
	}
}

static void set_path(xmlXPathContext *context, const char *path,
		     const char *value)
{
	xmlNode *node = find(context, path);

	if (node)
		xmlSetProp(node, BAD_CAST "path", BAD_CAST value);
}

/* The facts, under the namespace that libvirt gave the old ones. */
static bool set_facts(xmlXPathContext *context, const struct job_facts *facts)
{
	xmlNode *old = find(context, "/domain/metadata/mv:job"), *child, *next;
	g_autofree char *xml = job_facts_to_xml(facts);
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), NULL, "UTF-8",
				    XML_PARSE_NONET);

	if (!old || !doc) {
		xmlFreeDoc(doc);
		return false;
	}
	for (child = old->children; child; child = next) {
		next = child->next;
		xmlUnlinkNode(child);
		xmlFreeNode(child);
	}
	for (child = xmlDocGetRootElement(doc)->children; child;
	     child = child->next) {
		xmlNode *copy = xmlDocCopyNode(child, old->doc, 1);

		xmlSetNs(copy, old->ns);
		xmlAddChild(old, copy);
	}
	xmlFreeDoc(doc);
	return true;
}

/* Its CPU weight: each node gives its own, and one that has no control groups would
 * refuse a domain that wants one. */
static void drop_weight(xmlXPathContext *context)
{
	xmlNode *shares = find(context, "/domain/cputune/shares");

	if (shares) {
		xmlUnlinkNode(shares);
		xmlFreeNode(shares);
	}
}

static void set_place(xmlXPathContext *context,
		      const struct domain_place *place)
{
	set_text(context, "/domain/os/kernel", place->kernel);
	set_text(context, "/domain/os/initrd", place->initramfs);
	set_path(context, "/domain/devices/channel[target/@name='"
		 DOMAIN_LINK_PORT "']/source", place->socket);
	set_path(context, "/domain/devices/serial/source", place->console);
	set_path(context, "/domain/devices/console/source", place->console);
	if (place->dac)
		set_text(context, "/domain/seclabel[@model='dac']/label",
			 place->dac);
}

char *domain_move_xml(const char *xml, const struct domain_place *place,
		      const struct job_facts *facts, struct err *err)
{
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), NULL, "UTF-8",
				    XML_PARSE_NONET | XML_PARSE_NOBLANKS);
	xmlXPathContext *context = doc ? xmlXPathNewContext(doc) : NULL;
	xmlChar *bytes = NULL;
	char *text = NULL;
	int len;

	if (context)
		xmlXPathRegisterNs(context, BAD_CAST "mv",
				   BAD_CAST DOMAIN_METADATA_URI);
	if (context && set_facts(context, facts)) {
		set_place(context, place);
		drop_weight(context);
		xmlDocDumpMemory(doc, &bytes, &len);
		text = g_strdup((const char *)bytes);
		xmlFree(bytes);
	} else {
		err_set(err, 0, "the domain's description has no facts of a job");
	}
	xmlXPathFreeContext(context);
	xmlFreeDoc(doc);
	return text;
}
