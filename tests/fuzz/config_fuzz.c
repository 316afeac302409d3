/* Any bytes as --set arguments (one a line) and, after a NUL, as the file of --config. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cluster/peers.h"
#include "common/daemon/config.h"

#define ASSIGNMENTS_MAX 8

struct fields {
        struct config_common common;
        int64_t wait_ms;
        char *origins;
        bool record;
        json_t *ladder;
};

static const struct config_key keys[] = {
        CONFIG_COMMON_KEYS(9490),
        {.name = "wait_ms", .type = CONFIG_INT, .offset = offsetof(struct fields, wait_ms), .default_value = "1000", .min = 10,
         .max = 5000, .unit = "ms", .help = "how long"},
        {.name = "origins", .type = CONFIG_STRING, .offset = offsetof(struct fields, origins), .default_value = "a:1",
         .min = 0, .max = 1024, .unit = "", .help = "peers", .check = peers_check_names},
        {.name = "record", .type = CONFIG_BOOL, .offset = offsetof(struct fields, record), .default_value = "false",
         .unit = "", .help = "whether"},
        {.name = "ladder", .type = CONFIG_JSON, .offset = offsetof(struct fields, ladder), .default_value = "[]", .unit = "",
         .help = "rungs"},
        {0},
};

static void be_silent(void)
{
        static FILE *nowhere;
        if (nowhere)
                return;
        nowhere = fopen("/dev/null", "w");
        if (!nowhere)
                abort();
        stdout = stderr = nowhere; /* config's words; the fuzzer itself writes to descriptor 2 */
}

static const char *write_file(const uint8_t *data, size_t size)
{
        static char path[32];
        static int fd = -1;
        if (fd < 0) {
                fd = memfd_create("config", 0);
                snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        }
        if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
                abort();
        return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *argv[3 + 2 * ASSIGNMENTS_MAX] = {"edged"};
        const uint8_t *nul = memchr(data, 0, size);
        size_t text_len = nul ? (size_t)(nul - data) : size;
        char *text = strndup((const char *)data, text_len), *rest = text, *line;
        struct fields fields = {0};
        int argc = 1;

        be_silent();
        while ((line = strsep(&rest, "\n")) && argc < 1 + 2 * ASSIGNMENTS_MAX) {
                argv[argc++] = "--set";
                argv[argc++] = line;
        }
        if (nul) {
                argv[argc++] = "--config";
                argv[argc++] = (char *)(uintptr_t)write_file(nul + 1, size - text_len - 1);
        }
        if (config_load("edged", keys, &fields, argc, argv) == CONFIG_RUN)
                config_free(keys, &fields);
        free(text);
        return 0;
}
