#include "ingestd/handshakes.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"

void handshakes_init(struct handshakes *h, const struct handshake_limits *limits)
{
        memset(h, 0, sizeof(*h));
        h->limits = *limits;
        h->last = &h->first;
        newcomers_init(&h->of_address, limits->most_of_address);
}

struct handshake *handshakes_begin(struct handshakes *h, struct handshake *one)
{
        struct handshake *oldest = h->count >= h->limits.most ? h->first : NULL;
        one->next = NULL;
        one->link = h->last;
        *h->last = one;
        h->last = &one->next;
        h->count++;
        return oldest;
}

bool handshakes_address(struct handshakes *h, struct handshake *one, const char *address)
{
        if (!newcomers_enter(&h->of_address, address))
                return false;
        snprintf(one->address, sizeof(one->address), "%s", address);
        return true;
}

/* A bucket that holds what a second lets through, as the time when it is full again. */
static bool has_room(int64_t level_us, unsigned per_s, int64_t now_us)
{
        return level_us - now_us <= US_PER_S - US_PER_S / per_s;
}

static void put(int64_t *level_us, unsigned per_s, int64_t now_us)
{
        *level_us = (*level_us > now_us ? *level_us : now_us) + US_PER_S / per_s;
}

/* Who has used up his own share takes nothing of everybody's. */
bool handshakes_work(struct handshakes *h, struct handshake *one, int64_t now_us)
{
        const struct handshake_limits *most = &h->limits;
        int64_t *own_us = &h->level_of_address_us[newcomers_slot(&h->of_address, one->address)];
        if (one->worked)
                return true;
        if (!has_room(*own_us, most->per_s_of_address, now_us))
                return false;
        put(own_us, most->per_s_of_address, now_us);
        if (!has_room(h->level_us, most->per_s, now_us))
                return false;
        put(&h->level_us, most->per_s, now_us);
        return one->worked = true;
}

void handshakes_end(struct handshakes *h, struct handshake *one)
{
        if (!one->link)
                return;
        *one->link = one->next;
        if (one->next)
                one->next->link = one->link;
        else
                h->last = one->link;
        h->count--;
        if (*one->address)
                newcomers_leave(&h->of_address, one->address);
        memset(one, 0, sizeof(*one));
}
