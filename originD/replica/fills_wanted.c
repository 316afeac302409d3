#include "originD/replica/fills_impl.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define CHANGES_A_TICK 200

bool fills_lacks(const struct volume_row *v)
{
        return (v->state == VOLUME_LACKING || v->state == VOLUME_DAMAGED) && !v->closing;
}

struct wanted **fills_find_wanted(struct fills *f, const char *id)
{
        struct wanted **at = &f->wanted;
        while (*at && strcmp((*at)->id, id) != 0)
                at = &(*at)->next;
        return at;
}

void fills_forget(struct fills *f, const char *id)
{
        struct wanted **at = fills_find_wanted(f, id), *w = *at;
        if (!w)
                return;
        *at = w->next;
        free(w);
        f->wanted_count--;
}

static void want(struct fills *f, const struct session *s)
{
        if (*fills_find_wanted(f, s->id))
                return;
        struct wanted *w = mem_alloc(sizeof(*w)), **at = &f->wanted;
        *w = (struct wanted){.epoch_us = s->epoch_us, .below = UINT64_MAX};
        strcpy(w->id, s->id);
        while (*at && (*at)->epoch_us >= s->epoch_us)
                at = &(*at)->next;
        w->next = *at;
        *at = w;
        f->wanted_count++;
}

/* In the order of change, as another origin reads it: a start has all sessions to look at, and a tick a few of them. */
void fills_look_at_changes(struct fills *f)
{
        struct session *s = store_changed_behind(f->store, f->seen);
        for (unsigned n = 0; s && n < CHANGES_A_TICK && f->wanted_count < FILLS_WANTED_MAX; n++, s = s->changed_after) {
                f->seen = s->change;
                if (session_sum(s).lacking)
                        want(f, s);
        }
}
