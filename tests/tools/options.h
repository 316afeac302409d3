/* options.h - options of a tool, a table of them: --NAME NUMBER, or --NAME alone, which sets it to 1. What is left is argv[optind…]. */
#ifndef TESTS_TOOLS_OPTIONS_H
#define TESTS_TOOLS_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define TOOL_OPTIONS_MAX 32

struct tool_option {
        const char *name; /* NULL ends the table */
        int64_t *value;   /* untouched when the option is not given */
        bool alone;
};

/* false: an option that is in no row, or what stands behind one is no number. */
static inline bool tool_options(int argc, char **argv, const struct tool_option *rows)
{
        struct option options[TOOL_OPTIONS_MAX + 1] = {{0}};
        bool good = true;
        for (int i = 0; rows[i].name && i < TOOL_OPTIONS_MAX; i++)
                options[i] = (struct option){rows[i].name, rows[i].alone ? no_argument : required_argument, NULL, i + 1};
        for (int n; (n = getopt_long(argc, argv, "", options, NULL)) != -1;) {
                char *end = NULL;
                if (n == '?') {
                        good = false;
                        continue;
                }
                *rows[n - 1].value = optarg ? strtoll(optarg, &end, 10) : 1;
                good = good && (!optarg || (end != optarg && *end == '\0'));
        }
        return good;
}

#endif
