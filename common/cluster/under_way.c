#include "common/cluster/under_way.h"

#include <assert.h>

void under_way_init(struct under_way *u, uint64_t most)
{
        *u = (struct under_way){.most = most, .last = &u->first};
}

void under_way_begin(struct under_way *u, struct message_under_way *m, size_t bytes)
{
        assert(m->bytes == 0);
        if (bytes == 0)
                return;
        *m = (struct message_under_way){.bytes = bytes, .link = u->last};
        *u->last = m;
        u->last = &m->next;
        u->bytes += bytes;
}

void under_way_arrived(struct under_way *u, struct message_under_way *m)
{
        if (!m->link)
                return;
        *m->link = m->next;
        *(m->next ? &m->next->link : &u->last) = m->link;
        m->next = NULL;
        m->link = NULL;
}

void under_way_ended(struct under_way *u, struct message_under_way *m)
{
        under_way_arrived(u, m);
        if (!m->ended)
                u->ended_bytes += m->bytes;
        m->ended = m->bytes > 0;
}

void under_way_end(struct under_way *u, struct message_under_way *m)
{
        under_way_arrived(u, m);
        u->bytes -= m->bytes;
        u->ended_bytes -= m->ended ? m->bytes : 0;
        *m = (struct message_under_way){0};
}

struct message_under_way *under_way_excess(const struct under_way *u)
{
        return u->bytes - u->ended_bytes > u->most ? u->first : NULL;
}

bool under_way_full(const struct under_way *u)
{
        return u->bytes > u->most + UNDER_WAY_GOING_MAX || u->bytes - u->ended_bytes > u->most;
}
