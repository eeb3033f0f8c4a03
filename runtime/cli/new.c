/* new.c - perilune new: writes a starter scenario, one of scripts/perilune/templates. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "lua/args.h"

#define PREFIX        "perilune.templates."
#define TEMPLATES_MAX 32

typedef struct options {
    const char *template;
    bool force;
} options;

static const char *set_template(void *context, const char *value) {
    ((options *)context)->template = value;
    return NULL;
}

static const char *set_force(void *context, const char *value) {
    (void)value;
    ((options *)context)->force = true;
    return NULL;
}

static const pn_flag flags[] = {{"template", 't', "NAME", set_template},
                                {"force", 'f', NULL, set_force},
                                {NULL, 0, NULL, NULL}};

static int list_templates(const char *names[TEMPLATES_MAX + 1]) {
    int n = 0;
    for (const pn_embedded_file *f = pn_embedded_list(); f->name != NULL && n < TEMPLATES_MAX;
         f++) {
        if (strncmp(f->name, PREFIX, strlen(PREFIX)) == 0) names[n++] = f->name + strlen(PREFIX);
    }
    names[n] = NULL;
    return n;
}

static int unknown_template(const char *name) {
    const char *names[TEMPLATES_MAX + 1];
    char known[512] = "";
    size_t used = 0;
    int count = list_templates(names);
    for (int i = 0; i < count && used < sizeof known; i++) {
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 names[i]);
    }
    const char *near = pn_nearest(name, names);
    if (near != NULL) {
        return pn_usage_error(&pn_command_new, "no template %s, did you mean %s? (there are: %s)",
                              name, near, known);
    }
    return pn_usage_error(&pn_command_new, "no template %s (there are: %s)", name, known);
}

static int save(const char *path, const pn_embedded_file *file, bool force) {
    int flags_of = O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL);
    int fd = open(path, flags_of, 0666);
    if (fd < 0 && errno == EEXIST) {
        return pn_usage_error(&pn_command_new, "%s is there already, --force replaces it", path);
    }
    size_t size = (size_t)(file->end - file->start);
    bool ok = fd >= 0 && write(fd, file->start, size) == (ssize_t)size;
    int err = errno;
    if (fd >= 0 && close(fd) != 0) {
        ok = false;
        err = errno;
    }
    if (ok) return PN_STATUS_OK;
    fprintf(stderr, "perilune new: cannot write %s: %s\n", path, strerror(err));
    return PN_STATUS_USAGE;
}

static int run(int argc, char **argv) {
    options o = {.template = "minimal"};
    char path[4096], name[256];
    const pn_flag *const tables[] = {flags, NULL};
    void *const contexts[] = {&o};
    int first = pn_flags_read_all(&pn_command_new, argc, argv, tables, contexts);
    if (first < 0) return first == -2 ? PN_STATUS_OK : PN_STATUS_USAGE;
    if (first != argc - 1)
        return pn_usage_error(&pn_command_new, "one name was expected: perilune new NAME");
    size_t size = strlen(argv[first]);
    bool has_ending = size > 4 && strcmp(argv[first] + size - 4, ".lua") == 0;
    if (snprintf(path, sizeof path, "%s%s", argv[first], has_ending ? "" : ".lua") >=
        (int)sizeof path) {
        return pn_usage_error(&pn_command_new, "the name is too long");
    }
    snprintf(name, sizeof name, PREFIX "%.200s", o.template);
    const pn_embedded_file *file = pn_embedded_find(name);
    if (file == NULL) return unknown_template(o.template);
    int status = save(path, file, o.force);
    if (status == PN_STATUS_OK) printf("%s is written, try: perilune run %s\n", path, path);
    return status;
}

const pn_command pn_command_new = {
    .name = "new",
    .summary = "write a starter scenario",
    .usage = "Usage: perilune new NAME [--template NAME] [--force]\n"
             "\n"
             "Writes NAME.lua, a scenario that runs as it is.\n"
             "\n"
             "Flags:\n"
             "  -t, --template NAME  minimal (the default), http, arrival or lifecycle\n"
             "  -f, --force          replace a file that is there\n",
    .run = run,
};
