/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * libvirt-gconfig (4.0) makes what it has classes for. What it has none for is
 * added to its document with libxml2, and nothing else: the elements virtio-mmio
 * address, virtio-serial controller, vsock and rng; the attributes usb model
 * "none", free page reporting, cpu mode "maximum" and check, model fallback, and
 * relabel; a unix source's path and mode, and a source that is a file. Nothing is
 * ever pasted together as text.
 */
#include "vmm-agent/mvd-domain.h"

#include "vmm-agent/mvd-tsc.h"

#include <libvirt-gconfig/libvirt-gconfig.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>
#include <string.h>

#define NAME_PART_MAX 32 /* of a user's or a program's name in a domain's name */

/* x86-64-v2 and better, that Intel and AMD hosts of the last decade all have. */
static const char *const cpu_baselines[] = { "Haswell-noTSX", "Nehalem",
					     "Opteron_G3", "qemu64" };

/* libvirt-glib declares no automatic cleanup for its classes. */
static void unref_object(void *p)
{
	GObject *object = *(GObject **)p;

	if (object)
		g_object_unref(object);
}
#define auto_object __attribute__((cleanup(unref_object)))

static xmlNode *child_new(xmlNode *parent, const char *name)
{
	return xmlNewChild(parent, NULL, BAD_CAST name, NULL);
}

static void set_prop(xmlNode *node, const char *name, const char *value)
{
	xmlNewProp(node, BAD_CAST name, BAD_CAST value);
}

/* A child <name> with text, or an existing one. */
static xmlNode *child_text(xmlNode *parent, const char *name, const char *text)
{
	return xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST text);
}

static xmlNode *child_find(xmlNode *parent, const char *name)
{
	xmlNode *node;

	for (node = parent ? parent->children : NULL; node; node = node->next)
		if (node->type == XML_ELEMENT_NODE &&
		    strcmp((const char *)node->name, name) == 0)
			return node;
	return NULL;
}

static xmlNode *child_need(xmlNode *parent, const char *name)
{
	xmlNode *node = child_find(parent, name);

	return node ? node : child_new(parent, name);
}

/* microvm has no bus: each virtio device sits in a slot of its own. */
static void add_mmio(xmlNode *device)
{
	set_prop(child_new(device, "address"), "type", "virtio-mmio");
}

static char *program_part(const char *text)
{
	char *part = g_strndup(text, NAME_PART_MAX);

	return g_strcanon(part, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._+-",
			  '_');
}

char *domain_name(const struct job_facts *facts, const char *node)
{
	g_autofree char *user = program_part(facts->user);
	g_autofree char *program = program_part(facts->name);

	/* PIDs of two homes may be the same. */
	if (facts->home && g_strcmp0(facts->home, node) != 0) {
		g_autofree char *home = program_part(facts->home);

		return g_strdup_printf("mv-%s-%s-%s-%ld", home, user, program,
				       (long)facts->pid);
	}
	return g_strdup_printf("mv-%s-%s-%ld", user, program, (long)facts->pid);
}

bool domain_cpu_covers(const char *have, const char *need)
{
	if (strcmp(have, need) == 0 || strcmp(need, "qemu64") == 0)
		return true;
	return strcmp(have, "Haswell-noTSX") == 0 &&
	       strcmp(need, "Nehalem") == 0;
}

static char *kernel_command_line(const struct domain_spec *spec)
{
	const struct job_facts *facts = spec->facts;
	/* A panic ends in a triple fault, the reset that works from anywhere on
	 * this machine type. The kit watches psi, which some kernels have
	 * and do not switch on. The last line saves a sixth of the boot: no
	 * self-tests of unused ciphers, no waiting for entropy or idle readers. */
	GString *line = g_string_new("console=ttyS0 quiet loglevel=4 panic=-1 "
				     "reboot=t psi=1 cryptomgr.notests random.trust_cpu=on "
				     "rcupdate.rcu_expedited=1");

	/* What is free is zero, and so is not sent when the guest moves. The kernel clears all
	 * memory at boot for it: who moves nowhere need not wait for that. */
	if (spec->may_move)
		g_string_append(line, " init_on_free=1");

	/* The emulator's timers run late on a busy host; the check would call
	 * them broken. */
	if (facts->accel == ACCEL_TCG)
		g_string_append(line, " no_timer_check");
	if (facts->accel == ACCEL_TCG && tsc_khz())
		/* The watchdog compares with ticks, of which a busy host loses
		 * some, and would leave the guest with a clock of 4 ms steps. */
		g_string_append_printf(line, " tsc_early_khz=%u tsc=reliable",
				       tsc_khz());
	g_string_append_printf(line, " mv.id=%s", facts->uuid);
	if (facts->transport == JOB_VSOCK)
		g_string_append_printf(line, " mv.transport=vsock:%u",
				       facts->vsock_port);
	else
		g_string_append(line, " mv.transport=serial");
	return g_string_free(line, FALSE);
}

static void set_os(GVirConfigDomain *domain, const struct domain_spec *spec)
{
	auto_object GVirConfigDomainOs *os = gvir_config_domain_os_new();
	g_autofree char *line = kernel_command_line(spec);

	gvir_config_domain_os_set_os_type(os, GVIR_CONFIG_DOMAIN_OS_TYPE_HVM);
	gvir_config_domain_os_set_arch(os, "x86_64");
	gvir_config_domain_os_set_machine(os, "microvm");
	gvir_config_domain_os_set_kernel(os, spec->kernel);
	gvir_config_domain_os_set_ramdisk(os, spec->initramfs);
	gvir_config_domain_os_set_cmdline(os, line);
	gvir_config_domain_set_os(domain, os);
}

static void set_lifecycle(GVirConfigDomain *domain)
{
	gvir_config_domain_set_lifecycle(domain,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_ON_POWEROFF,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_DESTROY);
	gvir_config_domain_set_lifecycle(domain,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_ON_REBOOT,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_DESTROY);
	gvir_config_domain_set_lifecycle(domain,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_ON_CRASH,
		GVIR_CONFIG_DOMAIN_LIFECYCLE_DESTROY);
}

/* Without ACPI this kernel finds no virtio-mmio device at all. */
static void set_features(GVirConfigDomain *domain)
{
	char *features[] = { (char *)"acpi", NULL };

	gvir_config_domain_set_features(domain, features);
}

static void disable_cpu_feature(GVirConfigDomainCpu *cpu, const char *name)
{
	auto_object GVirConfigDomainCpuFeature *feature =
		gvir_config_domain_cpu_feature_new();

	gvir_config_capabilities_cpu_feature_set_name(
		GVIR_CONFIG_CAPABILITIES_CPU_FEATURE(feature), name);
	gvir_config_domain_cpu_feature_set_policy(feature,
		GVIR_CONFIG_DOMAIN_CPU_FEATURE_POLICY_DISABLE);
	gvir_config_capabilities_cpu_add_feature(
		GVIR_CONFIG_CAPABILITIES_CPU(cpu),
		GVIR_CONFIG_CAPABILITIES_CPU_FEATURE(feature));
}

static void set_cpu_model(GVirConfigDomainCpu *cpu, const char *name)
{
	auto_object GVirConfigDomainCpuModel *model =
		gvir_config_domain_cpu_model_new();

	gvir_config_capabilities_cpu_model_set_name(
		GVIR_CONFIG_CAPABILITIES_CPU_MODEL(model), name);
	gvir_config_domain_cpu_set_model(cpu, model);
	gvir_config_domain_cpu_set_mode(cpu, GVIR_CONFIG_DOMAIN_CPU_MODE_CUSTOM);
	gvir_config_domain_cpu_set_match_policy(cpu,
		GVIR_CONFIG_DOMAIN_CPU_MATCH_POLICY_EXACT);
}

static void set_cpu(GVirConfigDomain *domain, const struct domain_spec *spec)
{
	auto_object GVirConfigDomainCpu *cpu = gvir_config_domain_cpu_new();

	if (spec->facts->accel == ACCEL_TCG) {
		/* The emulator runs "rep movsb" byte by byte: tell the guest not
		 * to prefer it. */
		disable_cpu_feature(cpu, "erms");
		disable_cpu_feature(cpu, "fsrm");
	} else {
		set_cpu_model(cpu, spec->cpu ? spec->cpu : "qemu64");
	}
	gvir_config_domain_set_cpu(domain, cpu);
}

static void set_seclabel(GVirConfigDomain *domain, const char *dac)
{
	auto_object GVirConfigDomainSeclabel *label =
		gvir_config_domain_seclabel_new();

	gvir_config_domain_seclabel_set_type(label,
		GVIR_CONFIG_DOMAIN_SECLABEL_STATIC);
	gvir_config_domain_seclabel_set_model(label, "dac");
	gvir_config_domain_seclabel_set_label(label, dac);
	gvir_config_domain_set_seclabel(domain, label);
}

/* The link's port. Its unix source gets mode and path in complete_channel(). */
static void add_channel(GVirConfigDomain *domain)
{
	auto_object GVirConfigDomainChannel *channel =
		gvir_config_domain_channel_new();
	auto_object GVirConfigDomainChardevSourceUnix *source =
		gvir_config_domain_chardev_source_unix_new();

	gvir_config_domain_channel_set_target_type(channel,
		GVIR_CONFIG_DOMAIN_CHANNEL_TARGET_VIRTIO);
	gvir_config_domain_channel_set_target_name(channel, DOMAIN_LINK_PORT);
	gvir_config_domain_chardev_set_source(GVIR_CONFIG_DOMAIN_CHARDEV(channel),
		GVIR_CONFIG_DOMAIN_CHARDEV_SOURCE(source));
	gvir_config_domain_add_device(domain,
		GVIR_CONFIG_DOMAIN_DEVICE(channel));
}

/* Its source and target come in complete_serial(). */
static void add_serial(GVirConfigDomain *domain)
{
	auto_object GVirConfigDomainSerial *serial =
		gvir_config_domain_serial_new();

	gvir_config_domain_add_device(domain,
		GVIR_CONFIG_DOMAIN_DEVICE(serial));
}

static void add_memballoon(GVirConfigDomain *domain)
{
	auto_object GVirConfigDomainMemballoon *balloon =
		gvir_config_domain_memballoon_new();

	gvir_config_domain_memballoon_set_model(balloon,
		GVIR_CONFIG_DOMAIN_MEMBALLOON_MODEL_VIRTIO);
	gvir_config_domain_add_device(domain,
		GVIR_CONFIG_DOMAIN_DEVICE(balloon));
}

static void add_usb_none(GVirConfigDomain *domain)
{
	auto_object GVirConfigDomainControllerUsb *usb =
		gvir_config_domain_controller_usb_new();

	gvir_config_domain_add_device(domain, GVIR_CONFIG_DOMAIN_DEVICE(usb));
}

static gboolean set_metadata(GVirConfigDomain *domain,
			     const struct job_facts *facts, GError **error)
{
	g_autofree char *xml = job_facts_to_xml(facts);

	return gvir_config_domain_set_custom_xml_ns_children(domain, xml,
		DOMAIN_METADATA_KEY, DOMAIN_METADATA_URI, error);
}

static GVirConfigDomain *domain_config(const struct domain_spec *spec,
				       GError **error)
{
	const struct job_facts *facts = spec->facts;
	auto_object GVirConfigDomain *domain = gvir_config_domain_new();
	g_autofree char *title = clean_text(facts->command);

	gvir_config_domain_set_virt_type(domain, facts->accel == ACCEL_KVM ?
		GVIR_CONFIG_DOMAIN_VIRT_KVM : GVIR_CONFIG_DOMAIN_VIRT_QEMU);
	gvir_config_domain_set_name(domain, spec->name);
	gvir_config_domain_set_uuid(domain, facts->uuid);
	gvir_config_domain_set_title(domain, title);
	gvir_config_domain_set_memory(domain, (guint64)facts->memory * 1024);
	gvir_config_domain_set_vcpus(domain, facts->cpus);
	set_os(domain, spec);
	set_features(domain);
	set_cpu(domain, spec);
	set_lifecycle(domain);
	add_usb_none(domain);
	add_channel(domain);
	add_serial(domain);
	add_memballoon(domain);
	if (spec->dac)
		set_seclabel(domain, spec->dac);
	if (!set_metadata(domain, facts, error))
		return NULL;
	return g_steal_pointer(&domain);
}

static void complete_cpu(xmlNode *domain, const struct domain_spec *spec)
{
	xmlNode *cpu = child_need(domain, "cpu");

	set_prop(cpu, "check", "none");
	if (spec->facts->accel == ACCEL_TCG)
		set_prop(cpu, "mode", "maximum");
	else
		set_prop(child_need(cpu, "model"), "fallback", "forbid");
}

static void complete_channel(xmlNode *devices, const struct domain_spec *spec)
{
	xmlNode *channel = child_need(devices, "channel");
	xmlNode *source = child_need(channel, "source");
	xmlNode *controller = child_new(devices, "controller");

	set_prop(source, "mode", "bind");
	set_prop(source, "path", spec->socket);
	set_prop(controller, "type", "virtio-serial");
	set_prop(controller, "index", "0");
	add_mmio(controller);
}

/* Appended to, so that the agent can cut the file when it grows too long. */
static void complete_serial(xmlNode *devices, const char *path)
{
	xmlNode *serial = child_need(devices, "serial");
	xmlNode *source = child_new(serial, "source");
	xmlNode *target = child_new(serial, "target");

	set_prop(serial, "type", "file");
	set_prop(source, "path", path);
	set_prop(source, "append", "on");
	set_prop(target, "type", "isa-serial");
	set_prop(target, "port", "0");
}

static void add_rng(xmlNode *devices)
{
	xmlNode *rng = child_new(devices, "rng"), *backend;

	set_prop(rng, "model", "virtio");
	backend = child_text(rng, "backend", "/dev/urandom");
	set_prop(backend, "model", "random");
	add_mmio(rng);
}

static void add_vsock(xmlNode *devices)
{
	xmlNode *vsock = child_new(devices, "vsock");

	set_prop(vsock, "model", "virtio");
	set_prop(child_new(vsock, "cid"), "auto", "yes");
	add_mmio(vsock);
}

/*
 * By default libvirt makes the kernel's file QEMU's own while a domain runs.
 * The kernel in /boot is the host's and can be read by all: leave it alone.
 */
static void complete_seclabel(xmlNode *domain)
{
	xmlNode *label = child_find(domain, "seclabel");

	if (label)
		set_prop(label, "relabel", "no");
}

/*
 * Otherwise QEMU keeps up to 1 GiB of what it has translated, or an eighth of the host's memory: a
 * job that starts many programs would soon have several times the memory that it was given.
 */
static void limit_translations(xmlNode *domain)
{
	xmlNode *tcg = child_new(child_need(domain, "features"), "tcg");
	g_autofree char *most = g_strdup_printf("%u", DOMAIN_TRANSLATIONS);

	set_prop(child_text(tcg, "tb-cache", most), "unit", "MiB");
}

static void complete_document(xmlNode *domain, const struct domain_spec *spec)
{
	xmlNode *devices = child_need(domain, "devices");
	xmlNode *balloon = child_need(devices, "memballoon");

	complete_cpu(domain, spec);
	if (spec->facts->accel == ACCEL_TCG)
		limit_translations(domain);
	set_prop(child_need(devices, "controller"), "model", "none");
	complete_channel(devices, spec);
	set_prop(balloon, "freePageReporting", "on");
	add_mmio(balloon);
	complete_serial(devices, spec->console);
	add_rng(devices);
	if (spec->facts->transport == JOB_VSOCK)
		add_vsock(devices);
	complete_seclabel(domain);
}

static char *dump(xmlDoc *doc)
{
	xmlChar *bytes = NULL;
	char *text;
	int len;

	xmlDocDumpFormatMemory(doc, &bytes, &len, 1);
	text = g_strdup((const char *)bytes);
	xmlFree(bytes);
	return text;
}

char *domain_to_xml(const struct domain_spec *spec, struct err *err)
{
	g_autoptr(GError) error = NULL;
	auto_object GVirConfigDomain *config = domain_config(spec, &error);
	g_autofree char *text = NULL;
	xmlDoc *doc;
	char *xml;

	if (!config) {
		err_set(err, 0, "cannot describe the domain %s: %s", spec->name,
			error->message);
		return NULL;
	}
	text = gvir_config_object_to_xml(GVIR_CONFIG_OBJECT(config));
	doc = xmlReadMemory(text, (int)strlen(text), NULL, "UTF-8",
			    XML_PARSE_NONET | XML_PARSE_NOBLANKS);
	if (!doc) {
		err_set(err, 0, "cannot describe the domain %s", spec->name);
		return NULL;
	}
	complete_document(xmlDocGetRootElement(doc), spec);
	xml = dump(doc);
	xmlFreeDoc(doc);
	return xml;
}

/* The string value of an XPath expression in a document, or NULL. */
static char *query(const char *xml, const char *expression)
{
	xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), NULL, "UTF-8",
				    XML_PARSE_NONET | XML_PARSE_NOERROR |
				    XML_PARSE_NOWARNING);
	xmlXPathContext *context = doc ? xmlXPathNewContext(doc) : NULL;
	xmlXPathObject *result = context ?
		xmlXPathEvalExpression(BAD_CAST expression, context) : NULL;
	char *text = NULL;

	if (result && result->type == XPATH_STRING && result->stringval[0])
		text = g_strdup((const char *)result->stringval);
	xmlXPathFreeObject(result);
	xmlXPathFreeContext(context);
	xmlFreeDoc(doc);
	return text;
}

unsigned domain_cid(const char *xml)
{
	g_autofree char *cid =
		query(xml, "string(/domain/devices/vsock/cid/@address)");
	guint64 value;

	/* 0 to 2 are the hypervisor, the loopback and the host. */
	if (!cid || !g_ascii_string_to_unsigned(cid, 10, 3, G_MAXUINT32 - 1,
						&value, NULL))
		return 0;
	return (unsigned)value;
}

char *domain_dac_label(const char *capabilities, enum accel accel)
{
	g_autofree char *expression = g_strdup_printf(
		"string(/capabilities/host/secmodel[model='dac']/"
		"baselabel[@type='%s'])", accel == ACCEL_KVM ? "kvm" : "qemu");

	return query(capabilities, expression);
}

const char *domain_cpu_baseline(const char *domain_capabilities)
{
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(cpu_baselines); i++) {
		g_autofree char *expression = g_strdup_printf(
			"string(/domainCapabilities/cpu/mode[@name='custom']/"
			"model[@usable='yes'][.='%s'])", cpu_baselines[i]);
		g_autofree char *model = query(domain_capabilities, expression);

		if (model)
			return cpu_baselines[i];
	}
	return NULL;
}
