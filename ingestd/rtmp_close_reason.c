#include "ingestd/rtmp_close_reason.h"

#include <assert.h>

#include "common/daemon/metrics.h"

struct row {
        const char *label, *text;
        enum close_reason fate;
};

static const struct row rows[RTMP_CLOSE_REASONS] = {
        [RTMP_CLOSE_NONE] = {"open", "open", CLOSE_LOST},
#define X(id, label, fate, text) [RTMP_CLOSE_##id] = {label, text, CLOSE_##fate},
        RTMP_CLOSE_MAP(X)
#undef X
};

static struct metric closed[] = {
#define X(id, label, fate, text)                                                                                       \
        {.name = "ingestd_closed_total", .type = METRIC_COUNTER, .help = "RTMP connections closed, by reason",         \
         .labels = "reason=\"" label "\""},
        RTMP_CLOSE_MAP(X)
#undef X
};

static const struct row *row_of(enum rtmp_close_reason reason)
{
        assert((unsigned)reason < RTMP_CLOSE_REASONS);
        return &rows[reason];
}

const char *rtmp_close_reason_label(enum rtmp_close_reason reason)
{
        return row_of(reason)->label;
}

const char *rtmp_close_reason_text(enum rtmp_close_reason reason)
{
        return row_of(reason)->text;
}

enum close_reason rtmp_close_reason_fate(enum rtmp_close_reason reason)
{
        return row_of(reason)->fate;
}

void rtmp_close_reason_count(enum rtmp_close_reason reason)
{
        assert(reason > RTMP_CLOSE_NONE && reason < RTMP_CLOSE_REASONS);
        metric_add(&closed[reason - 1], 1);
}

void rtmp_close_reason_register(void)
{
        metrics_register(closed, sizeof(closed) / sizeof(closed[0]));
}
