#include "edged/readers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct place {
        _Alignas(64) _Atomic uint64_t since; /* 0: its thread does not look */
        atomic_bool taken;
};

static struct place places[READERS_MAX];
static _Atomic unsigned places_end; /* none beyond was ever taken */
static _Atomic uint64_t now = 1;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t ending;
static _Thread_local struct place *mine;
static _Thread_local bool refused;

static void give_back(void *place)
{
        atomic_store(&((struct place *)place)->taken, false);
}

static void make_key(void)
{
        pthread_key_create(&ending, give_back);
}

static void take_place(void)
{
        pthread_once(&once, make_key);
        for (unsigned i = 0; i < READERS_MAX && !mine; i++) {
                bool is_taken = false;
                if (!atomic_compare_exchange_strong(&places[i].taken, &is_taken, true))
                        continue;
                mine = &places[i];
                unsigned end = atomic_load(&places_end);
                while (end < i + 1 && !atomic_compare_exchange_weak(&places_end, &end, i + 1)) {
                }
                pthread_setspecific(ending, mine);
        }
        refused = !mine;
}

bool readers_enter(void)
{
        if (!mine && !refused)
                take_place();
        if (!mine)
                return false;
        atomic_store(&mine->since, atomic_load(&now));
        return true;
}

void readers_leave(void)
{
        atomic_store_explicit(&mine->since, 0, memory_order_release);
}

uint64_t readers_mark(void)
{
        return atomic_fetch_add(&now, 1);
}

bool readers_passed(uint64_t mark)
{
        unsigned end = atomic_load(&places_end);
        for (unsigned i = 0; i < end; i++) {
                uint64_t since = atomic_load(&places[i].since);
                if (since != 0 && since <= mark)
                        return false;
        }
        return true;
}
