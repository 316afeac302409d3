#include "ingestd/refusal.h"

#include <assert.h>

#include "common/daemon/metrics.h"

static const char *const texts[REFUSALS] = {
        [REFUSAL_NONE] = "",
#define X(id, label, text) [REFUSAL_##id] = text,
        REFUSAL_MAP(X)
#undef X
};

static struct metric refused[] = {
#define X(id, label, text)                                                                                             \
        {.name = "ingestd_refused_total", .type = METRIC_COUNTER,                                                      \
         .help = "broadcasters that were not let in, or not for longer, by reason", .labels = "reason=\"" label "\""},
        REFUSAL_MAP(X)
#undef X
};

const char *refusal_text(enum refusal r)
{
        assert((unsigned)r < REFUSALS);
        return texts[r];
}

void refusal_count(enum refusal r)
{
        assert(r > REFUSAL_NONE && r < REFUSALS);
        metric_add(&refused[r - 1], 1);
}

void refusal_register(void)
{
        metrics_register(refused, sizeof(refused) / sizeof(refused[0]));
}
