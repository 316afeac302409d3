#include "edged/race.h"

#include "edged/stats.h"

static void drop(struct call **call)
{
        if (*call)
                (*call)->fill = NULL;
        *call = NULL;
}

static void count(struct race *r, enum stats_hedge what)
{
        if (r->stand == RACE_TWO)
                stats_hedge(what);
        r->stand = RACE_OVER;
}

static int64_t overdue_us(const struct race *r, const struct hedge *h, bool not_yet)
{
        const struct call *c = r->first;
        uint32_t patience_ms = c->wait_ms < RACE_PATIENCE_MS ? c->wait_ms : RACE_PATIENCE_MS;
        if (not_yet)
                return c->asked_us + patience_ms * US_PER_MS + hedge_after_us(h, HEDGE_THERE);
        return c->asked_us + hedge_after_us(h, c->kind);
}

void race_reset(struct race *r)
{
        *r = (struct race){.stand = RACE_ONE};
}

bool race_runs(const struct race *r)
{
        return r->first || r->second;
}

void race_start(struct race *r, struct call *c)
{
        *(c->second ? &r->second : &r->first) = c;
}

bool race_wants_second(struct race *r, const struct hedge *h, bool not_yet, size_t live, int64_t now_us)
{
        if (r->stand >= RACE_TWO || !r->first || overdue_us(r, h, not_yet) > now_us)
                return false;
        if (live < 2) {
                r->stand = RACE_OVER;
                return false;
        }
        if (hedge_may(h, r->first->node, now_us))
                return true;
        if (r->stand != RACE_DENIED)
                stats_hedge(HEDGED_DENIED);
        r->stand = RACE_DENIED;
        return false;
}

void race_second(struct race *r, struct hedge *h, bool sent, int64_t now_us)
{
        r->stand = sent ? RACE_TWO : RACE_OVER;
        if (sent)
                hedge_spend(h, r->first->node, now_us);
}

void race_left(struct race *r, const struct call *c)
{
        *(c->second ? &r->second : &r->first) = NULL;
}

void race_won(struct race *r, struct hedge *h, const struct call *winner, int64_t now_us)
{
        count(r, winner->second ? HEDGED_WON : HEDGED_LOST);
        if (winner->second && r->first)
                hedge_late(h, r->first->node, now_us);
        race_drop(r);
}

void race_lost(struct race *r)
{
        count(r, HEDGED_LOST);
}

uint64_t race_drop_first(struct race *r, struct hedge *h, int64_t now_us)
{
        uint64_t node = r->first->node;
        hedge_late(h, node, now_us);
        drop(&r->first);
        return node;
}

void race_drop(struct race *r)
{
        drop(&r->first);
        drop(&r->second);
}
