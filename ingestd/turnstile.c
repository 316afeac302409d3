#include "ingestd/turnstile.h"

#include "common/clock.h"

void turnstile_init(struct turnstile *s)
{
        *s = (struct turnstile){0};
        newcomers_init(&s->streams, UINT16_MAX);
}

bool turnstile_enter(struct turnstile *s, const char *address, unsigned most)
{
        s->streams.most = most && most < UINT16_MAX ? most : UINT16_MAX;
        return newcomers_enter(&s->streams, address);
}

void turnstile_leave(struct turnstile *s, const char *address)
{
        newcomers_leave(&s->streams, address);
}

int64_t turnstile_when(struct turnstile *s, const char *address, unsigned per_s, int64_t now_us)
{
        int64_t *paid_us = &s->paid_us[newcomers_slot(&s->streams, address)];
        int64_t from_us = *paid_us > now_us ? *paid_us : now_us;
        if (per_s == 0)
                return now_us;
        int64_t due_us = from_us + US_PER_S / per_s - US_PER_S; /* a second's worth may come at once */
        if (due_us - now_us > TURNSTILE_WAIT_US)
                return TURNSTILE_NEVER;
        *paid_us = from_us + US_PER_S / per_s;
        return due_us > now_us ? due_us : now_us;
}
