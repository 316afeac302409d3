#include "edged/api.h"

#include "common/clock.h"
#include "edged/fill.h"
#include "edged/lag.h"
#include "edged/stats.h"

static struct {
        const struct fills *fills;
        int64_t cache_budget_bytes;
} api;

static json_t *requests_json(void)
{
        json_t *j = json_object();
        for (int r = 0; r < RESULTS; r++)
                json_object_set_new(j, stats_word(WORDS_RESULT, (unsigned)r),
                                    json_integer(stats_requests((enum stats_result)r)));
        return j;
}

static json_t *streams_json(int64_t now_us)
{
        json_t *list = json_array();
        for (size_t i = 0; i < LAG_STREAMS; i++) {
                const struct lag *l = lag_at(i, now_us);
                if (l)
                        json_array_append_new(list, json_pack("{s:s, s:I, s:f}", "stream", l->stream, "lag_ms",
                                                              (json_int_t)(l->late_us / US_PER_MS), "age",
                                                              (double)(now_us - l->seen_us) / 1e6));
        }
        return list;
}

static void get_stats(void *arg, struct admin_call *call)
{
        (void)arg;
        call->answer = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "clients", (json_int_t)metric_get(&stats_clients), "held",
                                 (json_int_t)metric_get(&stats_held), "served_bytes", (json_int_t)metric_get(&stats_sent),
                                 "requests", requests_json(), "cache",
                                 json_pack("{s:I, s:I, s:I, s:I}", "bytes", (json_int_t)metric_get(&stats_cache_bytes),
                                           "budget_bytes", (json_int_t)api.cache_budget_bytes, "objects",
                                           (json_int_t)metric_get(&stats_cache_objects), "filling",
                                           (json_int_t)fills_active(api.fills)),
                                 "streams", streams_json(clock_mono_us()));
}

static const struct admin_route routes[] = {
        {"GET", "/api/stats", NULL, get_stats},
};

void api_open(struct daemon *d, const struct fills *fills, int64_t cache_budget_bytes)
{
        api.fills = fills;
        api.cache_budget_bytes = cache_budget_bytes;
        daemon_routes(d, routes, sizeof(routes) / sizeof(routes[0]), NULL);
}
