#include "transcoderd/starts.h"

bool starts_may(const struct starts *s, bool goes_on, bool others_late, int64_t now_us)
{
        if (s->under_way >= s->at_once + goes_on)
                return false;
        return goes_on || (!others_late && now_us >= s->rest_until_us);
}

void starts_begin(struct starts *s, struct start *one, bool goes_on, int64_t now_us)
{
        s->under_way++;
        s->begun++;
        *one = (struct start){.begun_us = now_us, .goes_on = goes_on, .under_way = true};
}

void starts_end(struct starts *s, struct start *one, int64_t now_us)
{
        if (!one->under_way)
                return;
        one->under_way = false;
        s->under_way--;
        int64_t took_us = now_us - one->begun_us;
        if (!one->goes_on)
                s->rest_until_us = now_us + (took_us < STARTS_REST_MAX_US ? took_us : STARTS_REST_MAX_US);
}

bool starts_takes_long(const struct start *one, int64_t now_us)
{
        return one->under_way && now_us - one->begun_us >= STARTS_LONG_US;
}
