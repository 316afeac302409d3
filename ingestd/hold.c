#include "ingestd/hold.h"

/* So much less has to wait before it is read again: a socket that is stopped for each frame costs too much. */
static bool is_little(const struct hold_sight *now)
{
        return now->waiting_us == 0 || (now->waiting_us <= HOLD_WAITING_US / 2 && now->bytes <= now->limit_bytes / 8 * 3);
}

static bool is_much(const struct hold_sight *now)
{
        return now->waiting_us > HOLD_WAITING_US || (now->waiting_us > 0 && now->bytes > now->limit_bytes / 2);
}

bool hold_rests(struct hold *h, const struct hold_sight *now)
{
        if (h->held || is_much(now))
                return false;
        if (now->mark != h->mark)
                h->stuck = false;
        h->mark = now->mark;
        return true;
}

bool hold_update(struct hold *h, const struct hold_sight *now, int64_t mono_us)
{
        bool was = h->held;
        if (now->mark != h->mark || now->queued || !was)
                h->moved_us = mono_us;
        if (now->mark != h->mark)
                h->stuck = false;
        h->mark = now->mark;
        if (!was) {
                h->held = !h->stuck && now->ahead_us > (h->film ? 0 : HOLD_AHEAD_US) && is_much(now);
                h->film = h->film || h->held;
                return h->held;
        }
        h->stuck = mono_us - h->moved_us >= HOLD_STUCK_US;
        h->held = !h->stuck && now->ahead_us > 0 && !is_little(now);
        return !h->held;
}
