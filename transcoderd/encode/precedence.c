#include "transcoderd/encode/precedence.h"

#include <time.h>

#include "common/clock.h"

static _Atomic int64_t asked_until_us; /* monotonic, of the whole process */

bool precedence_needed(int64_t late_us, int64_t behind_us)
{
        return late_us > PRECEDENCE_LATE_US && !precedence_given(behind_us);
}

bool precedence_given(int64_t behind_us)
{
        return behind_us > PRECEDENCE_EDGE_US || behind_us < -PRECEDENCE_EDGE_US;
}

void precedence_ask(int64_t mono_us)
{
        atomic_store(&asked_until_us, mono_us + PRECEDENCE_HOLD_US);
}

bool precedence_is_asked(int64_t mono_us)
{
        return atomic_load(&asked_until_us) > mono_us;
}

void precedence_give(const atomic_bool *stop)
{
        int64_t now_us = clock_mono_us(), end_us = now_us + PRECEDENCE_STEP_US, until_us;
        while ((until_us = atomic_load(&asked_until_us)) > now_us && end_us > now_us && !atomic_load(stop)) {
                int64_t wait_us = (until_us < end_us ? until_us : end_us) - now_us;
                nanosleep(&(struct timespec){.tv_nsec = (long)(wait_us * 1000)}, NULL);
                now_us = clock_mono_us();
        }
}
