#include "edged/round.h"

#include "common/err.h"

void round_begin(struct round *r)
{
        *r = (struct round){.missing_ttl_ms = UINT32_MAX};
}

bool round_is_full(const struct round *r)
{
        return r->tried.count >= ROUND_NODES_MAX;
}

void round_heard(struct round *r, uint64_t node, int status, uint32_t ttl_ms)
{
        node_set_add(&r->tried, node);
        r->too_deep += status == ERR_LIMIT;
        if (status != ERR_NOT_FOUND)
                return;
        r->not_found++;
        r->missing_ttl_ms = ttl_ms < r->missing_ttl_ms ? ttl_ms : r->missing_ttl_ms;
}

enum round_verdict round_end(const struct round *r, bool was_due)
{
        if (r->tried.count == 0 && !r->busy)
                return ROUND_NOBODY;
        if (r->not_found == r->tried.count && !r->busy && !was_due)
                return ROUND_MISSING;
        if (r->too_deep == r->tried.count && !r->busy)
                return ROUND_TOO_DEEP;
        return r->waited ? ROUND_AGAIN : ROUND_PAUSE;
}
