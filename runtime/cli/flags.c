#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "lua/args.h"

int pn_usage_error(const pn_command *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "perilune %s: ", command->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (see perilune help %s)\n", command->name);
    va_end(args);
    return PN_STATUS_USAGE;
}

#define FLAGS_MAX 128

static const pn_flag *find_long(const pn_flag *const *tables, const char *name, size_t size,
                                int *table) {
    for (int t = 0; tables[t] != NULL; t++) {
        for (const pn_flag *f = tables[t]; f->name != NULL; f++) {
            if (strlen(f->name) != size || memcmp(f->name, name, size) != 0) continue;
            *table = t;
            return f;
        }
    }
    return NULL;
}

static const pn_flag *find_letter(const pn_flag *const *tables, char letter, int *table) {
    for (int t = 0; tables[t] != NULL; t++) {
        for (const pn_flag *f = tables[t]; f->name != NULL; f++) {
            if (f->letter != letter) continue;
            *table = t;
            return f;
        }
    }
    return NULL;
}

static int unknown(const pn_command *command, const pn_flag *const *tables, const char *text) {
    const char *names[FLAGS_MAX + 1];
    int n = 0;
    for (int t = 0; tables[t] != NULL; t++) {
        for (const pn_flag *f = tables[t]; f->name != NULL && n < FLAGS_MAX; f++)
            names[n++] = f->name;
    }
    names[n] = NULL;
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    const char *near = pn_nearest(name + strspn(name, "-"), names);
    if (near != NULL && strncmp(text, "--", 2) == 0) {
        pn_usage_error(command, "unknown flag %s, did you mean --%s?", name, near);
    } else {
        pn_usage_error(command, "unknown flag %s", name);
    }
    return -1;
}

/* One flag at argv[i]. Returns how many arguments it took, or -1. */
static int read_flag(const pn_command *command, int argc, char **argv, int i,
                     const pn_flag *const *tables, void *const *contexts) {
    const char *text = argv[i], *value = NULL;
    bool is_long = text[1] == '-';
    size_t size = is_long ? strcspn(text + 2, "=") : 1;
    int table = 0, taken = 1;
    const pn_flag *flag =
        is_long ? find_long(tables, text + 2, size, &table) : find_letter(tables, text[1], &table);
    if (flag == NULL) return unknown(command, tables, text);
    const char *rest = text + (is_long ? 2 : 1) + size;
    if (flag->argument == NULL) {
        if (*rest != '\0') {
            pn_usage_error(command, "--%s takes no value", flag->name);
            return -1;
        }
    } else if (*rest != '\0') {
        value = *rest == '=' ? rest + 1 : rest;
    } else if (i + 1 < argc) {
        value = argv[i + 1];
        taken = 2;
    } else {
        pn_usage_error(command, "--%s needs a value: --%s %s", flag->name, flag->name,
                       flag->argument);
        return -1;
    }
    const char *wrong = flag->set(contexts[table], value);
    if (wrong == NULL) return taken;
    pn_usage_error(command, "--%s %s: %s", flag->name, value != NULL ? value : "", wrong);
    return -1;
}

static bool is_help(const char *text) {
    return strcmp(text, "-h") == 0 || strcmp(text, "--help") == 0;
}

static bool is_flag(const char *text) { return text[0] == '-' && text[1] != '\0'; }

static int print_usage(const pn_command *command) {
    fputs(command->usage, stdout);
    return -2;
}

int pn_flags_read(const pn_command *command, int argc, char **argv, const pn_flag *const *tables,
                  void *const *contexts) {
    int i = 1;
    while (i < argc && is_flag(argv[i])) {
        if (strcmp(argv[i], "--") == 0) return i + 1;
        if (is_help(argv[i])) return print_usage(command);
        int taken = read_flag(command, argc, argv, i, tables, contexts);
        if (taken < 0) return -1;
        i += taken;
    }
    return i;
}

int pn_flags_read_all(const pn_command *command, int argc, char **argv,
                      const pn_flag *const *tables, void *const *contexts) {
    char **plain = calloc((size_t)argc + 1, sizeof *plain);
    if (plain == NULL) return -1;
    int count = 0, result = 0;
    bool only_plain = false;
    for (int i = 1; i < argc && result == 0;) {
        if (only_plain || !is_flag(argv[i])) {
            plain[count++] = argv[i++];
        } else if (strcmp(argv[i], "--") == 0) {
            only_plain = true;
            i++;
        } else if (is_help(argv[i])) {
            result = print_usage(command);
        } else {
            int taken = read_flag(command, argc, argv, i, tables, contexts);
            if (taken < 0) result = -1;
            i += taken > 0 ? taken : 1;
        }
    }
    for (int i = 0; i < count; i++) argv[argc - count + i] = plain[i];
    free(plain);
    return result == 0 ? argc - count : result;
}
