/* What a player reports: whatever it sends, in whatever pieces, ends in the same reports, and numbers are within their bounds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "edged/cmcd.h"

struct seen {
        unsigned reports, broken;
        struct cmcd_report last;
};

static void check(const struct cmcd_report *r)
{
        assert(r->version == 1 || r->version == 2);
        assert(r->buffer_ms >= 0 && r->buffer_ms <= 86400000 && r->stalled_ms >= 0 && r->stalled_ms <= 86400000);
        assert(r->latency_ms >= 0 && r->latency_ms <= 86400000 && r->startup_ms >= 0 && r->startup_ms <= 86400000);
        assert(r->throughput_kbps >= 0 && r->throughput_kbps <= 10000000 && r->response >= 0 && r->response <= 999);
        assert(r->state < CMCD_STATE_END && r->event <= CMCD_OTHER_EVENT);
}

static void take(void *arg, enum cmcd_result result, const struct cmcd_report *r)
{
        struct seen *s = arg;
        assert(result == CMCD_REPORT || result == CMCD_BROKEN);
        check(r);
        s->reports += result == CMCD_REPORT;
        s->broken += result == CMCD_BROKEN;
        s->last = *r;
}

static struct seen read_pieces(const uint8_t *data, size_t len, size_t step)
{
        struct cmcd_lines l = {0};
        struct seen s = {0};
        for (size_t at = 0; at < len; at += step)
                cmcd_lines(&l, (const char *)data + at, len - at < step ? len - at : step, take, &s);
        cmcd_lines_end(&l, take, &s);
        assert(s.reports + s.broken <= CMCD_LINES_MAX);
        return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
        struct cmcd_report r;
        struct seen whole = read_pieces(data, len, len + 1), bytes = read_pieces(data, len, 1);
        assert(memcmp(&whole, &bytes, sizeof(whole)) == 0);
        char *text = malloc(len + 1);
        memcpy(text, data, len);
        text[len] = 0;
        const char *values[CMCD_FIELDS] = {text, NULL, text, ""};
        cmcd_query(text, &r);
        if (cmcd_fields(values, &r) != CMCD_NOTHING)
                check(&r);
        free(text);
        return 0;
}
